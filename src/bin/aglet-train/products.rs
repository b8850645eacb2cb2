//! The products of a run: what is trained on, what is mixed in, and what is kept from it.

use std::collections::HashSet;

use aglet::evaluate::split::held_out;
use aglet::train::data::batch::Beside;
use aglet::train::data::product::{self, Frame, Product};
use aglet::train::data::set::split::Side;
use aglet::train::data::set::templates::Templates;
use aglet::train::run::fit::Held;
use aglet::train::run::recipe::Recipe;
use anyhow::bail;

use super::FitArgs;

pub struct Products {
    pub train: Vec<Product>,
    pub beside: Vec<Beside>,
    pub held: Held,
}

/// Reads everything that the run needs, photos in this frame.
pub fn gather(args: &FitArgs, recipe: &Recipe, frame: Frame) -> anyhow::Result<Products> {
    let gathered = if args.data.join("train.jsonl").is_file() {
        of_set(args, recipe, frame)?
    } else if args.replay.is_some() || recipe.attribute.is_some() {
        bail!(
            "{}: no data set (train.jsonl); make one with `aglet-train prepare`",
            args.data.display()
        );
    } else {
        of_catalog(args, recipe, frame)?
    };
    let held = if gathered.held.general.is_empty() {
        &gathered.held.products
    } else {
        &gathered.held.general
    };
    let beside: Vec<String> = gathered
        .beside
        .iter()
        .map(|b| b.products.len().to_string())
        .collect();
    let (train, beside, held) = (gathered.train.len(), beside.join(" and "), held.len());
    eprintln!(
        "{train} products to train on, beside them {beside} replayed or drawn, {held} held out"
    );
    Ok(gathered)
}

/// A catalog: all of it but the held-out products, beside drawn ones.
fn of_catalog(args: &FitArgs, recipe: &Recipe, frame: Frame) -> anyhow::Result<Products> {
    let mut products = product::read(&args.data, frame)?;
    let mut drawn = product::drawn(recipe.run.seed, recipe.data.drawn, frame);
    if !recipe.data.shoelaces {
        products
            .iter_mut()
            .chain(&mut drawn)
            .for_each(|p| p.facts.shoelaces = None);
    }
    let count = products.len();
    let (products, train) = apart(products, &[], recipe);
    if products.is_empty() || train.is_empty() {
        let (path, train, held) = (args.data.display(), train.len(), products.len());
        bail!(
            "{path}: of {count} products {train} are to train on and {held} to validate on: too small a catalog"
        );
    }
    let beside = vec![Beside {
        products: drawn,
        per_batch: recipe.data.drawn_in_batch(),
        replayed: false,
    }];
    Ok(Products {
        train,
        beside,
        held: Held {
            products,
            general: Vec::new(),
            classes: None,
        },
    })
}

/// A catalog's products by which a run is judged, none of them `trained` on, and those that may be
/// trained on. The half of the held-out ones that the models are reported on is among neither.
fn apart(
    products: Vec<Product>,
    trained: &[Product],
    recipe: &Recipe,
) -> (Vec<Product>, Vec<Product>) {
    let (held, rest) = products.into_iter().partition(|p| held_out(&p.id));
    (
        product::some(product::judges(held, trained), recipe.data.validation),
        rest,
    )
}

/// A data set's training side, beside products of a general catalog and drawn ones in the words of
/// the same templates.
fn of_set(args: &FitArgs, recipe: &Recipe, frame: Frame) -> anyhow::Result<Products> {
    let name = recipe.attribute.as_ref().map(|a| a.name.as_str());
    let train = product::read_set(&args.data, Side::Train, name, frame)?;
    let validation = product::read_set(&args.data, Side::Validation, name, frame)?;
    let classes = recipe
        .attribute
        .clone()
        .map(|a| product::classes(&args.data, a, &train))
        .transpose()?;
    let templates = Templates::open(&args.data.join("captions.toml"))?;
    let phrase = |list: Vec<Product>| {
        list.into_iter()
            .map(|p| p.phrased(&templates, name))
            .collect()
    };
    let drawn = phrase(product::drawn(recipe.run.seed, recipe.data.drawn, frame));
    let mut beside = vec![Beside {
        products: drawn,
        per_batch: recipe.data.drawn_in_batch(),
        replayed: false,
    }];
    let mut general = Vec::new();
    if let Some(replay) = &args.replay {
        if !recipe.data.has_room_for_replay() {
            bail!("data.drawn_per_batch and data.replay_per_batch leave no room in data.batch");
        }
        // A product of the data set comes from there or, where it is kept from training, not at
        // all; its labels are not known to the catalog.
        let mut own: HashSet<String> = train
            .iter()
            .chain(&validation)
            .map(|p| p.id.clone())
            .collect();
        if args.data.join("test.jsonl").is_file() {
            own.extend(product::ids(&args.data, Side::Test)?);
        }
        let mut products = product::read(replay, frame)?;
        for product in &mut products {
            product.facts.shoelaces = None;
        }
        let (held, rest) = apart(products, &train, recipe);
        if held.is_empty() {
            eprintln!(
                "{}: too few products to hold some out; the validation side is asked instead",
                replay.display()
            );
        }
        general = held;
        let rest = rest.into_iter().filter(|p| !own.contains(&p.id)).collect();
        beside.push(Beside {
            products: phrase(rest),
            per_batch: recipe.data.replayed_in_batch(),
            replayed: true,
        });
    }
    Ok(Products {
        train,
        beside,
        held: Held {
            products: validation,
            general,
            classes,
        },
    })
}
