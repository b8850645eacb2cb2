//! Products as labeled images: one of their attributes is the label.

use super::images::{Content, LabeledImage, LabeledImages, LabeledImagesError};
use crate::catalog::PictureFiles;
use crate::domain::{AttributeName, AttributeValue};
use crate::evaluate::data::attributes::values;
use crate::evaluate::data::labeled_catalog::{LabeledCatalog, LabeledProduct};
use crate::evaluate::data::prompts::Prompts;

/// The pictures of a catalog whose attribute `label` is to be recognized; products without it or
/// without a picture are passed over. Values that differ in letter case only are one class, written
/// as the first. They are asked for as the attribute is ([`Prompts::for_attribute`]).
///
/// # Errors
/// When no product is left.
pub fn read(
    catalog: &LabeledCatalog,
    label: &AttributeName,
    name: &str,
) -> Result<LabeledImages, LabeledImagesError> {
    let labeled: Vec<&LabeledProduct> = catalog
        .products
        .iter()
        .filter(|p| p.image.is_some() && p.product.attribute(label.as_str()).is_some())
        .collect();
    let values = values(labeled.iter().map(|p| &p.product), label);
    let folded: Vec<String> = values.iter().map(AttributeValue::folded).collect();
    let items: Vec<LabeledImage> = labeled
        .into_iter()
        .filter_map(|labeled| item(labeled, label, &folded))
        .collect();
    if items.is_empty() {
        return Err(LabeledImagesError::NoLabel {
            attribute: label.clone(),
        });
    }
    Ok(LabeledImages {
        name: name.to_owned(),
        classes: values.iter().map(ToString::to_string).collect(),
        items,
        prompts: Prompts::for_attribute(label),
        pictures: PictureFiles::default(),
    })
}

/// `classes`: in lower case.
fn item(
    labeled: &LabeledProduct,
    label: &AttributeName,
    classes: &[String],
) -> Option<LabeledImage> {
    let product = &labeled.product;
    let value = product.attribute(label.as_str())?.to_lowercase();
    let attributes = product.attributes.keys().filter_map(|name| {
        let value = product.attribute(name.as_str())?;
        Some((name.to_string(), value.to_owned()))
    });
    Some(LabeledImage {
        id: product.id.to_string(),
        class: classes.iter().position(|class| *class == value)?,
        attributes: attributes.collect(),
        content: Content::File(labeled.image.clone()?),
    })
}
