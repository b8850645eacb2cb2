//! schema.org's `Product` and `ProductGroup` as JSON-LD (<https://schema.org/Product>): one node, a
//! list, a graph, or a node a line.
//!
//! The variants of a group are nested in it, or say which group they are of.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value};

use super::facts::{attribute, availability, categories, in_stock, levels};
use super::format::Layout;
use super::input::Input;
use super::objects::{Object, Objects};
use super::row::{IgnoredField, Lost, NOT_UTF8, Row, SourceError, nearest};
use super::sink::Sink;
use crate::domain::{Money, text::clean};

type Node = Map<String, Value>;

/// Properties that are taken.
const TAKEN: [&str; 38] = [
    "@context",
    "@type",
    "@id",
    "name",
    "description",
    "url",
    "sku",
    "productID",
    "gtin",
    "gtin8",
    "gtin12",
    "gtin13",
    "gtin14",
    "mpn",
    "brand",
    "image",
    "color",
    "size",
    "material",
    "pattern",
    "category",
    "audience",
    "keywords",
    "additionalProperty",
    "itemCondition",
    "offers",
    "isVariantOf",
    "inProductGroupWithID",
    "productGroupID",
    "hasVariant",
    "variesBy",
    "releaseDate",
    "manufacturer",
    "isSimilarTo",
    "isRelatedTo",
    "mainEntityOfPage",
    "aggregateRating",
    "review",
];

struct Found {
    line: u64,
    node: Node,
    lossy: bool,
}

pub(super) fn read(input: Input, sink: &mut Sink<'_>) -> Result<(), SourceError> {
    let array = match Layout::of(&input) {
        Layout::Objects(array) => array,
        Layout::Lines => None,
    };
    let mut objects = Objects::of(input, array)?;
    let mut all = Vec::new();
    while let Some(Object { line, text, lossy }) = objects.next()? {
        let node = text.and_then(|text| {
            serde_json::from_str::<Node>(&text).map_err(|error| format!("no JSON: {error}"))
        });
        match node {
            Ok(node) => collect(line, node, lossy, &mut all),
            Err(reason) => {
                if !sink.reject(line, None, Lost::Row, reason) {
                    return Ok(());
                }
            }
        }
    }
    sink.called = [("id", "sku (or productID, @id, url)"), ("title", "name")];
    Graph::of(&all).take(sink);
    Ok(())
}

/// The nodes in a node: of a graph, of a list of items.
fn collect(line: u64, mut node: Node, lossy: bool, all: &mut Vec<Found>) {
    for name in ["@graph", "itemListElement", "item", "mainEntity"] {
        match node.remove(name) {
            Some(Value::Array(nodes)) => {
                for node in nodes {
                    if let Value::Object(node) = node {
                        collect(line, node, lossy, all);
                    }
                }
            }
            Some(Value::Object(inner)) => collect(line, inner, lossy, all),
            _ => {}
        }
    }
    all.push(Found { line, node, lossy });
}

/// Whether a node is of a type of schema.org.
fn is(node: &Node, types: &[&str]) -> bool {
    list(node.get("@type")).any(|given| {
        let given = given.as_str().unwrap_or_default();
        let local = given.rsplit(['/', ':', '#']).next().unwrap_or_default();
        types.contains(&local)
    })
}

const PRODUCT: [&str; 4] = [
    "Product",
    "IndividualProduct",
    "ProductModel",
    "SomeProducts",
];

/// One value or a list of them.
fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    let all: &[Value] = match value {
        Some(Value::Array(all)) => all,
        Some(Value::Null) | None => &[],
        Some(one) => std::slice::from_ref(one),
    };
    all.iter()
}

/// A text, a number as one, or the name of a node.
fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(yes) => yes.to_string(),
        Value::Object(node) => ["name", "value", "@value"]
            .iter()
            .find_map(|name| text(node.get(*name)?))?,
        Value::Array(all) => all.iter().find_map(text)?,
        Value::Null => return None,
    };
    (!clean(&text).is_empty()).then_some(text)
}

fn texts(value: Option<&Value>) -> Vec<String> {
    list(value).filter_map(text).collect()
}

fn id(node: &Node) -> Option<&str> {
    node.get("@id").and_then(Value::as_str)
}

/// What a feed says, and what belongs together.
struct Graph<'a> {
    all: &'a [Found],
    /// `@id` -> node.
    named: HashMap<&'a str, &'a Node>,
    groups: Vec<&'a Found>,
    /// `@id` or number of a group -> its place in `groups`.
    group_places: HashMap<String, usize>,
}

/// A product with the group that it is a variant of.
struct Variant<'a> {
    line: u64,
    lossy: bool,
    node: &'a Node,
    group: Option<usize>,
}

impl<'a> Graph<'a> {
    fn of(all: &'a [Found]) -> Self {
        let mut graph = Self {
            all,
            named: HashMap::new(),
            groups: Vec::new(),
            group_places: HashMap::new(),
        };
        for found in all {
            // A node that is only a reference says nothing.
            if let Some(id) = id(&found.node).filter(|_| found.node.len() > 1) {
                graph.named.entry(id).or_insert(&found.node);
            }
            if is(&found.node, &["ProductGroup"]) {
                let place = graph.groups.len();
                graph.groups.push(found);
                for name in group_names(&found.node) {
                    graph.group_places.entry(name).or_insert(place);
                }
            }
        }
        graph
    }

    fn take(&self, sink: &mut Sink<'_>) {
        let mut unknown: BTreeMap<&str, u64> = BTreeMap::new();
        let variants = self.variants();
        let mut has_variants = vec![false; self.groups.len()];
        for variant in &variants {
            for name in variant.node.keys() {
                if !TAKEN.contains(&name.as_str()) {
                    *unknown.entry(name).or_default() += 1;
                }
            }
            if let Some(group) = variant.group {
                has_variants[group] = true;
            }
            if !self.product(variant, sink) {
                return;
            }
        }
        for (group, _) in self.groups.iter().zip(has_variants).filter(|(_, has)| !has) {
            let id = group_names(&group.node).into_iter().next();
            let reason = "a ProductGroup without a variant: hasVariant lists them";
            if !sink.reject(group.line, id.as_deref(), Lost::Row, reason) {
                return;
            }
        }
        for (name, rows) in unknown {
            let missing = TAKEN.into_iter().filter(|known| !known.starts_with('@'));
            let meant = nearest(name, missing);
            let field = sink.ignored.0.entry(name.chars().take(64).collect());
            *field.or_default() = IgnoredField { rows, meant };
        }
    }

    /// The products, each where its own node stands.
    fn variants(&self) -> Vec<Variant<'a>> {
        let mut all: Vec<Variant<'a>> = Vec::new();
        let mut seen: HashSet<*const Node> = HashSet::new();
        // Variants by reference: `@id` -> group.
        let mut referred: HashMap<&str, usize> = HashMap::new();
        for (place, group) in self.groups.iter().enumerate() {
            for variant in list(group.node.get("hasVariant")).filter_map(Value::as_object) {
                if let Some(id) = id(variant) {
                    referred.entry(id).or_insert(place);
                }
            }
        }
        // The groups stand in the same order.
        let mut places = 0..self.groups.len();
        for found in self.all {
            if is(&found.node, &["ProductGroup"]) {
                let place = places.next();
                for variant in list(found.node.get("hasVariant")).filter_map(Value::as_object) {
                    // A reference stands where its own node does.
                    let is_reference = variant.keys().all(|name| name == "@id" || name == "@type");
                    let stands_apart = id(variant).is_some_and(|id| self.named.contains_key(id));
                    if !(is_reference && stands_apart) && seen.insert(std::ptr::from_ref(variant)) {
                        all.push(Variant {
                            line: found.line,
                            lossy: found.lossy,
                            node: variant,
                            group: place,
                        });
                    }
                }
                continue;
            }
            if !is(&found.node, &PRODUCT)
                || found.node.len() <= 2 && !found.node.contains_key("name")
            {
                continue;
            }
            let by_id = id(&found.node).and_then(|id| referred.get(id).copied());
            all.push(Variant {
                line: found.line,
                lossy: found.lossy,
                node: &found.node,
                group: by_id.or_else(|| self.group_of(&found.node)),
            });
        }
        all
    }

    /// The group that a product says it is of.
    fn group_of(&self, node: &Node) -> Option<usize> {
        let number = texts(node.get("inProductGroupWithID"));
        let of = list(node.get("isVariantOf")).filter_map(|of| match of {
            Value::Object(group) => id(group)
                .map(str::to_owned)
                .or_else(|| group_names(group).into_iter().next()),
            of => text(of),
        });
        let mut names = number.into_iter().chain(of);
        names.find_map(|name| self.group_places.get(&name).copied())
    }

    /// As [`texts`], with the names of nodes that are referred to.
    fn texts(&self, value: Option<&Value>) -> Vec<String> {
        let text = |value: &Value| match value {
            Value::Object(node) => {
                let whole = self.whole(node);
                let name = whole.get("name").and_then(text);
                name.or_else(|| text(value))
            }
            value => text(value),
        };
        list(value).filter_map(text).collect()
    }

    /// The node itself, or that which it refers to.
    fn whole<'b>(&'b self, node: &'b Node) -> &'b Node {
        let named = id(node)
            .filter(|_| node.len() == 1)
            .and_then(|id| self.named.get(id));
        named.copied().unwrap_or(node)
    }

    /// Takes a product; whether anybody listens.
    fn product(&self, variant: &Variant<'_>, sink: &mut Sink<'_>) -> bool {
        let node = variant.node;
        let group = variant.group.map(|place| &self.groups[place].node);
        // A group that is nested in its variant.
        let nested = list(node.get("isVariantOf"))
            .find_map(Value::as_object)
            .filter(|group| group.len() > 1);
        let group = group.or(nested);
        let sources: Vec<&Node> = std::iter::once(node).chain(group).collect();
        let said = |name: &str| -> Vec<String> {
            let mut all = sources.iter().map(|node| self.texts(node.get(name)));
            all.find(|texts| !texts.is_empty()).unwrap_or_default()
        };
        let one = |name: &str| said(name).into_iter().next();
        let own = |name: &str| texts(node.get(name)).into_iter().next();
        let mut row = Row {
            line: variant.line,
            ..Row::default()
        };
        let offer = self.offer(node);
        let url = own("url").or_else(|| texts(offer?.get("url")).into_iter().next());
        let key = own("sku").or_else(|| texts(offer?.get("sku")).into_iter().next());
        let key = key
            .or_else(|| own("productID"))
            .or_else(|| own("@id"))
            .or_else(|| url.clone());
        row.text("id", key.as_deref());
        if variant.lossy {
            if key
                .as_ref()
                .is_some_and(|key| key.contains(char::REPLACEMENT_CHARACTER))
            {
                return sink.reject(variant.line, key.as_deref(), Lost::Row, NOT_UTF8);
            }
            row.lose(Lost::Letters, NOT_UTF8);
        }
        row.text("title", one("name").as_deref());
        row.text("description", one("description").as_deref());
        row.text("url", url.as_deref());
        row.text("created", own("releaseDate").as_deref());
        let style = group.and_then(|group| group_names(group).into_iter().next());
        row.text(
            "style",
            style.as_deref().or(own("inProductGroupWithID").as_deref()),
        );
        for name in ["brand", "color", "size", "material", "pattern", "mpn"] {
            for value in said(name) {
                row.attribute(name, Some(&value));
            }
        }
        if !row.has_attribute("brand") {
            row.attribute("brand", one("manufacturer").as_deref());
        }
        let gtin = ["gtin", "gtin13", "gtin12", "gtin14", "gtin8"];
        row.attribute("gtin", gtin.iter().find_map(|name| own(name)).as_deref());
        let paths: Vec<Vec<String>> = said("category")
            .iter()
            .map(|path| {
                if path.contains(" > ") {
                    levels(path)
                } else {
                    vec![clean(path)]
                }
            })
            .collect();
        categories(&mut row, &paths);
        for keyword in said("keywords").iter().flat_map(|words| words.split(',')) {
            row.attribute("tags", Some(keyword));
        }
        for audience in sources
            .iter()
            .flat_map(|node| list(node.get("audience")))
            .filter_map(Value::as_object)
        {
            if !row.has_attribute("gender") {
                let gender = texts(audience.get("suggestedGender")).into_iter().next();
                row.attribute("gender", gender.as_deref().map(last_part).as_deref());
            }
        }
        for property in sources
            .iter()
            .flat_map(|node| list(node.get("additionalProperty")))
            .filter_map(Value::as_object)
        {
            let name = ["name", "propertyID"]
                .iter()
                .find_map(|name| texts(property.get(*name)).into_iter().next());
            let Some(name) = name.as_deref().and_then(attribute) else {
                continue;
            };
            if property.get("value").is_some() && row.has_attribute(&name) && group.is_some() {
                continue;
            }
            for value in texts(property.get("value")) {
                row.attribute(&name, Some(&value));
            }
        }
        let condition =
            one("itemCondition").or_else(|| texts(offer?.get("itemCondition")).into_iter().next());
        let condition = condition.map(|condition| {
            last_part(&condition)
                .trim_end_matches("condition")
                .to_owned()
        });
        row.attribute("condition", condition.as_deref());
        if let Some(offer) = offer {
            take_offer(&mut row, offer, sink.decimal);
        }
        for source in &sources {
            for image in list(source.get("image")) {
                self.image(&mut row, image);
            }
        }
        sink.row(row)
    }

    fn image(&self, row: &mut Row, image: &Value) {
        match image {
            Value::String(at) => row.image(at),
            Value::Object(node) => {
                let whole = self.whole(node);
                let at = ["contentUrl", "url", "@id"]
                    .iter()
                    .find_map(|name| texts(whole.get(*name)).into_iter().next());
                if let Some(at) = at {
                    row.image(&at);
                }
            }
            _ => {}
        }
    }

    /// The offer that counts: the first that is in stock, else the first.
    fn offer<'b>(&'b self, node: &'b Node) -> Option<&'b Node> {
        let given = list(node.get("offers")).filter_map(Value::as_object);
        let mut offers: Vec<&Node> = Vec::new();
        for offer in given.map(|offer| self.whole(offer)) {
            let inner = list(offer.get("offers")).filter_map(Value::as_object);
            let before = offers.len();
            offers.extend(inner.map(|offer| self.whole(offer)));
            if offers.len() == before {
                offers.push(offer);
            }
        }
        let sent = |offer: &&&Node| {
            let word = texts(offer.get("availability")).into_iter().next();
            word.as_deref().and_then(in_stock) == Some(true)
        };
        offers.iter().find(sent).or(offers.first()).copied()
    }
}

/// The names that a group goes by, the first of which is the style of its variants.
fn group_names(group: &Node) -> Vec<String> {
    let names = ["productGroupID", "sku", "@id"];
    names
        .iter()
        .flat_map(|name| texts(group.get(*name)))
        .collect()
}

/// The last part of an address in lower case: `https://schema.org/Female` is `female`.
fn last_part(text: &str) -> String {
    text.rsplit(['/', '#'])
        .next()
        .unwrap_or_default()
        .to_lowercase()
}

fn take_offer(row: &mut Row, offer: &Node, decimal: Option<char>) {
    let own = |node: &Node, name: &str| texts(node.get(name)).into_iter().next();
    let mut now = own(offer, "price").or_else(|| own(offer, "lowPrice"));
    let mut currency = own(offer, "priceCurrency");
    let mut before = None;
    for price in list(offer.get("priceSpecification")).filter_map(Value::as_object) {
        let kind = own(price, "priceType")
            .map(|kind| last_part(&kind))
            .unwrap_or_default();
        let amount = own(price, "price");
        match kind.as_str() {
            "strikethroughprice" | "listprice" | "srp" | "msrp" | "regularprice" => {
                before = before.or(amount);
            }
            _ => now = now.or(amount),
        }
        currency = currency.or_else(|| own(price, "priceCurrency"));
    }
    let amount =
        |text: &Option<String>| Money::parse(text.as_deref()?, decimal).map(|money| money.amount);
    match (amount(&now), amount(&before)) {
        (Some(active), Some(former)) if former > active => {
            row.text("price", before.as_deref());
            row.text("sale_price", now.as_deref());
        }
        _ => row.text("price", now.as_deref().or(before.as_deref())),
    }
    if amount(&now).or(amount(&before)).is_some() {
        row.text("currency", currency.as_deref());
    }
    if let Some(word) = own(offer, "availability") {
        availability(row, &word);
    }
    row.attribute("stock", own(offer, "inventoryLevel").as_deref());
}
