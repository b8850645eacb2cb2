//! Tables as text: comma-separated values (RFC 4180), and their like with tabs, semicolons or bars.
//!
//! A quoted field may hold separators and line breaks. A quote that is never closed costs its own row
//! and not the rest of the file: a field goes over several lines only where the row then has as many
//! fields as the header, and nothing but a separator follows its last quote.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;

use super::input::Input;
use super::lines::{Line, Lines};
use super::row::{Ignored, Lost, NOT_UTF8, SourceError, nearest};
use crate::domain::text::clean;

/// What parts the fields of a row, the more usual first.
const SEPARATORS: [char; 4] = [',', '\t', ';', '|'];
/// Lines that one row may have.
const MOST_LINES: usize = 2_000;
/// Columns that a table may have.
const MOST_COLUMNS: usize = 2_000;

/// The names of a table's columns, and where they are.
pub(super) struct Header {
    /// As they are written, on one line.
    pub(super) names: Vec<String>,
    places: HashMap<String, usize>,
}

/// A table that is read row by row.
pub(super) struct Table {
    pub(super) path: PathBuf,
    pub(super) header: Header,
    pub(super) separator: char,
    lines: Lines,
    /// Lines that were read ahead of a row that was none.
    ahead: VecDeque<Line>,
    /// The last column of a table whose writer did not quote it takes the fields that are too many.
    last_takes_rest: bool,
}

/// The fields of a row.
pub(super) struct Cells {
    /// The first of its lines.
    pub(super) line: u64,
    texts: Vec<String>,
    /// Bytes that are not UTF-8 were replaced.
    lossy: bool,
    /// It has fewer fields than the header, in words.
    short: Option<String>,
}

/// A row that has not the fields that the header says.
pub(super) struct BadRow {
    pub(super) line: u64,
    /// As far as it can be read.
    pub(super) cells: Cells,
    pub(super) reason: String,
}

/// The name of a column as columns are compared: `g:Image Link`, `image-link` and `image_link` are one.
pub(super) fn plain(name: &str) -> String {
    let name = clean(name).to_lowercase();
    let mut name = name.as_str();
    // Doubled by exporters that add it to what has it.
    while let Some(rest) = name.strip_prefix("g:") {
        name = rest;
    }
    let joined = |c: char| c == ' ' || c == '-' || c == '_';
    name.split(joined)
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("_")
}

impl Header {
    pub(super) fn new(names: Vec<String>) -> Self {
        let mut places = HashMap::new();
        for (place, name) in names.iter().enumerate() {
            places.entry(plain(name)).or_insert(place);
        }
        Self { names, places }
    }

    /// Where a column is, by its [`plain`] name.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    pub(super) fn has_all(&self, names: &[&str]) -> bool {
        names.iter().all(|name| self.has(name))
    }
}

impl Cells {
    /// A field by the place of its column; `None` where it says nothing.
    pub(super) fn get(&self, place: Option<usize>) -> Option<&str> {
        let cell = self.texts.get(place?)?.trim();
        (!cell.is_empty()).then_some(cell)
    }
}

impl Table {
    /// The header of the table that a feed begins with, and its separator.
    pub(super) fn header_of(head: &str, separator: Option<char>) -> (Header, char) {
        let mut lines = head
            .split(['\n', '\r'])
            .filter(|line| !line.trim().is_empty());
        let first = lines.next().unwrap_or_default();
        let separator = separator.unwrap_or_else(|| {
            let mut counts = [0_u32; SEPARATORS.len()];
            let mut quoted = false;
            for letter in first.chars() {
                quoted ^= letter == '"';
                let place = SEPARATORS.iter().position(|separator| *separator == letter);
                if let Some(place) = place.filter(|_| !quoted) {
                    counts[place] += 1;
                }
            }
            let most = (0..SEPARATORS.len())
                .rev()
                .max_by_key(|place| counts[*place]);
            most.map_or(',', |place| SEPARATORS[place])
        });
        let cells = split_line(first, separator).unwrap_or_default();
        let names = cells
            .iter()
            .take(MOST_COLUMNS)
            .map(|name| clean(name))
            .collect();
        (Header::new(names), separator)
    }

    /// # Errors
    /// When the first line cannot be read.
    pub(super) fn open(input: Input, separator: Option<char>) -> Result<Self, SourceError> {
        let text = input.text();
        let (_, separator) = Self::header_of(&text, separator);
        let path = input.path.clone();
        let mut table = Self {
            path,
            header: Header::new(Vec::new()),
            separator,
            lines: Lines::of(input),
            ahead: VecDeque::new(),
            last_takes_rest: false,
        };
        let mut names = match table.next()? {
            Some(Ok(first) | Err(BadRow { cells: first, .. })) => first.texts,
            None => Vec::new(),
        };
        while names.last().is_some_and(|name| name.trim().is_empty()) {
            names.pop();
        }
        if names.len() > MOST_COLUMNS {
            let what = format!(
                "has {} columns, at most {MOST_COLUMNS} are read",
                names.len()
            );
            return Err(SourceError::not(&table.path, what));
        }
        table.header = Header::new(names.iter().map(|name| clean(name)).collect());
        Ok(table)
    }

    /// Of a table whose writer does not quote: fields that are too many belong to the last column,
    /// when that is this one.
    pub(super) fn last_takes_rest(&mut self, column: &str) {
        let last = self.header.names.len().checked_sub(1);
        self.last_takes_rest = last.is_some() && self.header.find(column) == last;
    }

    fn next_line(&mut self) -> Result<Option<Line>, SourceError> {
        match self.ahead.pop_front() {
            Some(line) => Ok(Some(line)),
            None => self.lines.next(),
        }
    }

    /// The next row; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Result<Cells, BadRow>>, SourceError> {
        let first = loop {
            match self.next_line()? {
                None => return Ok(None),
                Some(line) if self.is_blank(&line) => {}
                Some(line) => break line,
            }
        };
        let bad = |cells: Vec<String>, reason: String, line: &Line| {
            let cells = Cells {
                line: line.number,
                texts: cells,
                lossy: line.lossy,
                short: None,
            };
            Ok(Some(Err(BadRow {
                line: line.number,
                cells,
                reason,
            })))
        };
        if first.too_long {
            let reason = format!("the line is longer than {} bytes", Lines::LONGEST);
            return bad(Vec::new(), reason, &first);
        }
        let mut row = Row::new(self.separator);
        row.read(&first.text);
        let mut lossy = first.lossy;
        if row.quoted {
            let Some((whole, more)) = self.rest_of(row)? else {
                let cells = first.text.split(self.separator).map(str::to_owned);
                let reason = "a quote is not closed in its line".to_owned();
                return bad(cells.collect(), reason, &first);
            };
            row = whole;
            lossy |= more;
        }
        let mut cells = row.cells();
        match self.fit(&mut cells) {
            Ok(()) => {
                let (got, want) = (cells.len(), self.header.names.len());
                // Spreadsheets leave out the tabs behind the last field that says something.
                let short = got < want && self.separator != '\t';
                Ok(Some(Ok(Cells {
                    line: first.number,
                    texts: cells,
                    lossy,
                    short: short.then(|| {
                        format!(
                            "{got} fields, the header has {want}: the last ones are taken for empty"
                        )
                    }),
                })))
            }
            Err(reason) => bad(cells, reason, &first),
        }
    }

    /// Whether nothing but separators is in a line.
    fn is_blank(&self, line: &Line) -> bool {
        let mut letters = line.text.chars();
        letters.all(|letter| letter.is_whitespace() || letter == self.separator)
    }

    /// At most as many fields as the header has.
    fn fit(&self, cells: &mut Vec<String>) -> Result<(), String> {
        let want = self.header.names.len();
        // The first line is the header.
        if want == 0 {
            return Ok(());
        }
        if self.last_takes_rest && cells.len() > want {
            let rest = cells.split_off(want - 1).join(&self.separator.to_string());
            cells.push(rest);
        }
        while cells.len() > want && cells.last().is_some_and(|cell| cell.trim().is_empty()) {
            cells.pop();
        }
        if cells.len() > want {
            return Err(format!("{} fields, the header has {want}", cells.len()));
        }
        Ok(())
    }

    /// The row with the lines that its quoted field goes on in, and whether one of them was damaged;
    /// `None`, and the lines come again as rows of their own, when they do not belong to it.
    fn rest_of(&mut self, mut row: Row) -> Result<Option<(Row, bool)>, SourceError> {
        let (mut taken, mut bytes, mut lossy) = (Vec::new(), 0, false);
        let mut whole = false;
        while taken.len() < MOST_LINES && bytes < Lines::LONGEST {
            let Some(line) = self.next_line()? else { break };
            if line.too_long {
                taken.push(line);
                break;
            }
            bytes += line.text.len() as u64 + 1;
            lossy |= line.lossy;
            row.read_on(&line.text);
            taken.push(line);
            if !row.quoted || row.broken {
                whole = !row.quoted && !row.broken;
                break;
            }
        }
        if whole {
            let mut cells = row.cells.clone();
            let want = self.header.names.len();
            while cells.len() > want && cells.last().is_some_and(|cell| cell.trim().is_empty()) {
                cells.pop();
            }
            if want == 0 || cells.len() == want {
                return Ok(Some((row, lossy)));
            }
        }
        for line in taken.into_iter().rev() {
            self.ahead.push_front(line);
        }
        Ok(None)
    }
}

/// The fields of a row, as far as it was read.
struct Row {
    separator: char,
    cells: Vec<String>,
    /// The last field began with a quote that is not closed yet.
    quoted: bool,
    /// A quote was closed in a later line, and something else than a separator came behind it.
    broken: bool,
}

impl Row {
    fn new(separator: char) -> Self {
        Self {
            separator,
            cells: Vec::new(),
            quoted: false,
            broken: false,
        }
    }

    fn cells(self) -> Vec<String> {
        self.cells
    }

    fn read(&mut self, line: &str) {
        self.fields(line);
    }

    fn read_on(&mut self, line: &str) {
        if let Some(cell) = self.cells.last_mut() {
            cell.push('\n');
        }
        let Some(rest) = self.close_quote(line) else {
            return;
        };
        if !rest.is_empty() && !rest.starts_with(self.separator) {
            self.broken = true;
            return;
        }
        if let Some(rest) = rest.strip_prefix(self.separator) {
            self.fields(rest);
        }
    }

    /// Reads fields up to the end, or into a quoted field that is not closed.
    fn fields(&mut self, line: &str) {
        let mut rest = line;
        loop {
            self.cells.push(String::new());
            // A quote inside of a field that does not begin with one is a letter.
            if let Some(quoted) = rest.strip_prefix('"') {
                self.quoted = true;
                match self.close_quote(quoted) {
                    Some(after) => rest = after,
                    None => return,
                }
            }
            let end = rest.find(self.separator);
            if let Some(cell) = self.cells.last_mut() {
                cell.push_str(&rest[..end.unwrap_or(rest.len())]);
            }
            match end {
                Some(end) => rest = &rest[end + self.separator.len_utf8()..],
                None => return,
            }
        }
    }

    /// Reads up to the quote that ends the field, and gives what comes behind it; `None` when it does
    /// not end in this line.
    fn close_quote<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let cell = self.cells.last_mut()?;
        let mut rest = text;
        loop {
            let Some(end) = rest.find('"') else {
                cell.push_str(rest);
                return None;
            };
            cell.push_str(&rest[..end]);
            rest = &rest[end + 1..];
            let Some(after) = rest.strip_prefix('"') else {
                self.quoted = false;
                return Some(rest);
            };
            cell.push('"');
            rest = after;
        }
    }
}

/// The fields of a row that is one line; `None` when a quote is not closed in it.
fn split_line(line: &str, separator: char) -> Option<Vec<String>> {
    let mut row = Row::new(separator);
    row.read(line);
    (!row.quoted).then(|| row.cells())
}

/// Counts the fields of columns that are not taken.
pub(super) struct Untaken {
    columns: Vec<(usize, u64)>,
}

impl Untaken {
    /// `taken`: whether the column of this place is.
    pub(super) fn of(header: &Header, taken: impl Fn(usize, &str) -> bool) -> Self {
        let columns = header.names.iter().enumerate();
        let columns = columns.filter(|(place, name)| !taken(*place, &plain(name)));
        Self {
            columns: columns.map(|(place, _)| (place, 0)).collect(),
        }
    }

    pub(super) fn count(&mut self, cells: &Cells) {
        for (place, rows) in &mut self.columns {
            *rows += u64::from(cells.get(Some(*place)).is_some());
        }
    }

    /// Says those that have something in them, with the nearest of the `known` columns that the table does
    /// not have.
    pub(super) fn say(&self, header: &Header, known: &[&str], ignored: &mut Ignored) {
        let missing: Vec<&str> = known
            .iter()
            .copied()
            .filter(|name| !header.has(&plain(name)))
            .collect();
        let mut of_name: BTreeMap<&str, u64> = BTreeMap::new();
        for (place, rows) in &self.columns {
            let name = header.names[*place].as_str();
            *of_name.entry(name).or_default() += rows;
        }
        for (name, rows) in of_name.into_iter().filter(|(_, rows)| *rows > 0) {
            let name = if name.is_empty() {
                "(without a name)"
            } else {
                name
            };
            ignored.add(name, rows, || nearest(name, missing.iter().copied()));
        }
    }
}

/// A row that is not whole, in words, with its id when that can be seen.
pub(super) fn id_of(cells: &Cells, id: Option<usize>) -> Option<String> {
    let id = cells.get(id).map(clean);
    id.filter(|id| !id.is_empty() && id.chars().count() <= 128)
}

impl Cells {
    /// Whether the id is damaged, which costs the row.
    pub(super) fn has_damaged(&self, id: Option<usize>) -> bool {
        let id = self.get(id).unwrap_or_default();
        self.lossy && id.contains(char::REPLACEMENT_CHARACTER)
    }

    /// What was lost of the row before anybody looked into its fields.
    pub(super) fn lost(&self) -> Vec<(Lost, String)> {
        let letters = self.lossy.then(|| (Lost::Letters, NOT_UTF8.to_owned()));
        let short = self.short.clone().map(|reason| (Lost::Attribute, reason));
        letters.into_iter().chain(short).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::path::Path;

    use super::*;

    fn table(text: &str) -> Table {
        let bytes = Box::new(Cursor::new(text.as_bytes().to_vec()));
        let input = Input::of(Path::new("t.csv"), bytes).expect("text");
        Table::open(input, None).expect("a table")
    }

    /// Each row as `line:field|field`, a bad one with its reason.
    fn rows(text: &str) -> Vec<String> {
        let mut table = table(text);
        let mut rows = Vec::new();
        while let Some(row) = table.next().expect("reads") {
            rows.push(match row {
                Ok(cells) => format!("{}:{}", cells.line, cells.texts.join("|")),
                Err(bad) => format!("{}!{}", bad.line, bad.reason),
            });
        }
        rows
    }

    #[test]
    fn splits_as_the_writer_meant() {
        let split = |line| split_line(line, ',').map(|f| f.join("|"));
        assert_eq!(split("1,a,b").as_deref(), Some("1|a|b"));
        assert_eq!(split("1,\"a, b\",c").as_deref(), Some("1|a, b|c"));
        assert_eq!(
            split("1,\"3.5\"\" short\",").as_deref(),
            Some("1|3.5\" short|")
        );
        assert_eq!(split("1,3.5\" short,x").as_deref(), Some("1|3.5\" short|x"));
        assert_eq!(split("").as_deref(), Some(""));
        assert_eq!(split("1,\"a"), None);
        assert_eq!(split("é,\"ü\"").as_deref(), Some("é|ü"));
    }

    #[test]
    fn a_quoted_field_may_have_line_breaks() {
        let text = "id,text,color\n1,\"a\nb, \"\"c\"\"\n\nd\",red\n2,x,blue\n";
        assert_eq!(rows(text), ["2:1|a\nb, \"c\"\n\nd|red", "6:2|x|blue"]);
        assert_eq!(
            rows("id\tt\r\n1\t\"a\r\nb\"\r\n2\tc"),
            ["2:1|a\nb", "4:2|c"]
        );
        assert_eq!(rows("id,t\r1,\"a\rb\"\r2,c"), ["2:1|a\nb", "4:2|c"]);
    }

    #[test]
    fn a_stray_quote_costs_its_own_row() {
        let open = "a quote is not closed in its line";
        let text =
            "id,text,color\n1,\"never closed,red\n2,x,blue\n3,\"y\",green\n4,z,\"w\"\n5,\"again\n";
        assert_eq!(
            rows(text),
            [
                format!("2!{open}"),
                "3:2|x|blue".into(),
                "4:3|y|green".into(),
                "5:4|z|w".into(),
                format!("6!{open}"),
            ]
        );
    }

    #[test]
    fn rows_of_another_length_are_bad_and_empty_fields_behind_the_last_are_not() {
        assert_eq!(
            rows("id;text\n1;a;;\n2;b;c\n3\n\n4;d"),
            ["2:1|a", "3!3 fields, the header has 2", "4:3", "6:4|d"]
        );
        let mut unquoted = table("id,name\n1,Shoe, red, size 41\n");
        unquoted.last_takes_rest("name");
        let row = unquoted.next().expect("reads").expect("a row");
        let cells = row.unwrap_or_else(|bad| panic!("{}", bad.reason));
        assert_eq!(cells.texts, ["1", "Shoe, red, size 41"]);
    }

    #[test]
    fn the_separator_is_seen_in_the_header() {
        for (text, separator) in [
            ("id,title;x", ','),
            ("id;title;\"a,b,c,d\"", ';'),
            ("id\ttitle\tx,y", '\t'),
            ("id|title", '|'),
            ("id", ','),
        ] {
            assert_eq!(table(text).separator, separator, "{text}");
        }
    }

    #[test]
    fn names_of_columns_are_compared_as_people_read_them() {
        for name in [
            "g:image_link",
            "g:g:Image Link",
            "IMAGE-LINK",
            " image\u{a0}link ",
        ] {
            assert_eq!(plain(name), "image_link", "{name}");
        }
        let header = table("ID,Title,title\n").header;
        assert_eq!(header.find("title"), Some(1));
    }

    proptest::proptest! {
        #[test]
        fn what_is_quoted_comes_back(cells in proptest::collection::vec("[a-z\",\n ]{0,8}", 2..5), more in 0_usize..3) {
            let quoted = |cell: &String| format!("\"{}\"", cell.replace('"', "\"\""));
            let row = cells.iter().map(quoted).collect::<Vec<_>>().join(",");
            let header = (0..cells.len()).map(|n| format!("c{n}")).collect::<Vec<_>>().join(",");
            let text = format!("{header}\n{}", format!("{row}\n").repeat(more + 1));
            let mut table = table(&text);
            for _ in 0..=more {
                let read = table.next().expect("reads").expect("a row");
                let read = read.unwrap_or_else(|bad| panic!("{}: {text:?}", bad.reason));
                proptest::prop_assert_eq!(&read.texts, &cells);
            }
            proptest::prop_assert!(table.next().expect("reads").is_none());
        }

        #[test]
        fn no_line_is_lost_or_read_twice(text in "[a\",\n]{0,60}") {
            let mut table = table(&format!("a,b\n{text}"));
            let mut last = 1;
            while let Some(row) = table.next().expect("reads") {
                let line = row.map_or_else(|bad| bad.line, |cells| cells.line);
                proptest::prop_assert!(line > last);
                last = line;
            }
        }
    }
}
