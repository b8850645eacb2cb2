//! Vectors as the server reads and writes them: pgvector's `halfvec` in PostgreSQL's binary formats.

use half::f16;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, Postgres};

use crate::domain::Embedding;

/// A vector of 16-bit floats.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Half(pub Vec<f16>);

impl Half {
    pub fn of(embedding: &Embedding) -> Self {
        let values = embedding.as_slice().iter();
        Self(values.map(|value| f16::from_f32(*value)).collect())
    }

    /// As the server gives it: `vector::real[]`.
    pub fn restored(values: &[f32]) -> Self {
        Self(values.iter().map(|value| f16::from_f32(*value)).collect())
    }

    pub fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.0.iter().map(|value| f64::from(value.to_f32()))
    }

    /// The number of dimensions, a number that is not used, the values.
    fn write(&self, to: &mut Vec<u8>) -> Result<(), BoxDynError> {
        let dimensions = u16::try_from(self.0.len())?;
        to.extend(dimensions.to_be_bytes());
        to.extend([0; 2]);
        to.extend(self.0.iter().flat_map(|value| value.to_be_bytes()));
        Ok(())
    }
}

impl sqlx::Type<Postgres> for Half {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("halfvec")
    }
}

impl sqlx::Encode<'_, Postgres> for Half {
    fn encode_by_ref(&self, to: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let mut bytes = Vec::with_capacity(4 + 2 * self.0.len());
        self.write(&mut bytes)?;
        to.extend(&bytes);
        Ok(IsNull::No)
    }
}

/// A row of a table of vectors.
pub(super) struct Row {
    pub product: i64,
    pub picture: i16,
    pub vector: Half,
}

/// Rows as `COPY .. FROM STDIN (FORMAT binary)` reads them.
pub(super) fn copied(rows: &[Row]) -> Result<Vec<u8>, sqlx::Error> {
    let mut bytes = b"PGCOPY\n\xff\r\n\0".to_vec();
    // No flags, no further header.
    bytes.extend([0; 8]);
    for row in rows {
        bytes.extend(3_i16.to_be_bytes());
        bytes.extend(8_i32.to_be_bytes());
        bytes.extend(row.product.to_be_bytes());
        bytes.extend(2_i32.to_be_bytes());
        bytes.extend(row.picture.to_be_bytes());
        let length = 4 + 2 * row.vector.0.len();
        let length = i32::try_from(length).map_err(|error| sqlx::Error::Encode(error.into()))?;
        bytes.extend(length.to_be_bytes());
        row.vector.write(&mut bytes).map_err(sqlx::Error::Encode)?;
    }
    bytes.extend((-1_i16).to_be_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_written_as_the_server_reads_it() {
        let vector = Half(vec![f16::from_f32(1.0), f16::from_f32(-0.5)]);
        let rows = [Row {
            product: 7,
            picture: 3,
            vector,
        }];
        let bytes = copied(&rows).expect("short");
        let row: &[u8] = &[
            0, 3, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 2, 0, 3, 0, 0, 0, 8, 0, 2, 0, 0,
            0x3c, 0, 0xb8, 0, 0xff, 0xff,
        ];
        assert_eq!(&bytes[19..], row);
    }
}
