//! `aglet suite`: makes retrieval suites.

use std::collections::BTreeMap;
use std::path::PathBuf;

use aglet::domain::{AttributeName, AttributeValue, Filters};
use aglet::evaluate::shop;
use aglet::evaluate::suite::{Case, Kind};
use aglet::evaluate::suite_build::{self, Plan, default_prompt};
use aglet::evaluate::table::Table;
use clap::{Args, Subcommand};

use crate::evaluate::ShopArgs;

/// Make retrieval suites
#[derive(Args)]
pub struct SuiteArgs {
    #[command(subcommand)]
    command: SuiteCommand,
}

#[derive(Subcommand)]
enum SuiteCommand {
    /// Build a suite out of a labeled catalogue: cases, levels, prompts, what can be attained
    Build(BuildArgs),
}

#[derive(Args)]
struct BuildArgs {
    #[command(flatten)]
    shop: ShopArgs,
    /// The suite file; query photos go to images/ beside it
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What the suite is called; the file's name when not given
    #[arg(long)]
    name: Option<String>,
    /// The main attribute
    #[arg(long, default_value = "category", value_parser = AttributeName::new)]
    main: AttributeName,
    /// The detail
    #[arg(long, default_value = "shoelace_color", value_parser = AttributeName::new)]
    detail: AttributeName,
    /// Only products of which the detail is known: the others are neither right nor wrong. The
    /// suite's searches are then filtered by all its values
    #[arg(long)]
    labeled_only: bool,
    /// How text cases ask, with {main} and {detail}; "{main} with {detail} shoelace." for
    /// shoelace_color
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// Values of the detail that mean that there is none
    #[arg(long, value_name = "VALUE", default_value = "none", value_parser = AttributeValue::new)]
    without: Vec<AttributeValue>,
    /// How many results of a case are scored
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=100))]
    results: u8,
    /// At most so many cases of each level and kind
    #[arg(long, value_name = "N")]
    per_level: Option<usize>,
    /// Draws cases and photos
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How much of the products' vectors is their words, in percent, where the suite will be asked:
    /// with 0, a product without a photo that can be decoded is counted nowhere, for photos alone
    /// do not find it
    #[arg(long, value_name = "P", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    words_percent: u8,
}

pub fn run(args: &SuiteArgs) -> anyhow::Result<()> {
    let SuiteCommand::Build(args) = &args.command;
    build(args)
}

fn build(args: &BuildArgs) -> anyhow::Result<()> {
    let mut shop = args.shop.read()?;
    let mut filters: BTreeMap<AttributeName, Vec<AttributeValue>> = BTreeMap::new();
    for (name, value) in args.shop.filters() {
        filters.entry(name.clone()).or_default().push(value.clone());
    }
    if args.labeled_only {
        let known = shop::values(shop.offers.iter().map(|o| &o.product), &args.detail);
        let all = known
            .iter()
            .map(|value| (args.detail.clone(), value.clone()));
        shop = shop.only(&Filters::new(all)?, |_| true);
        filters.insert(args.detail.clone(), known);
    }
    let stem = || {
        args.out
            .file_stem()
            .map_or_else(|| "suite".to_owned(), |s| s.to_string_lossy().into_owned())
    };
    let plan = Plan {
        name: args.name.clone().unwrap_or_else(stem),
        main: args.main.clone(),
        detail: args.detail.clone(),
        prompt: args
            .prompt
            .clone()
            .unwrap_or_else(|| default_prompt(&args.detail)),
        without: args.without.clone(),
        results: usize::from(args.results),
        per_level: args.per_level,
        seed: args.seed,
        filters,
        held_out: args.shop.held_out(),
        words: args.words_percent > 0,
    };
    let suite = suite_build::of_shop(&plan, &shop)?;
    suite_build::save(&suite, &shop, &args.out)?;
    println!(
        "{} cases over {} products in {}\n",
        suite.cases.len(),
        suite.pool.products,
        args.out.display()
    );
    print!("{}", overview(&suite.cases).plain());
    Ok(())
}

fn overview(cases: &[Case]) -> Table {
    let mut table = Table::new(&[
        "cases",
        "n",
        "(a) max",
        "attainable",
        "(b) max",
        "attainable",
        "(c) max",
        "attainable",
        "(d) max",
        "attainable",
    ]);
    for kind in [Kind::Text, Kind::Image] {
        for level in aglet::evaluate::scoring::Level::ALL {
            let group: Vec<&Case> = cases
                .iter()
                .filter(|c| c.kind() == kind && c.level == level)
                .collect();
            let sum = |of: fn(&Case) -> aglet::evaluate::scoring::Points| {
                group
                    .iter()
                    .map(|c| of(c))
                    .sum::<aglet::evaluate::scoring::Points>()
                    .values()
            };
            let (nominal, attainable) = (sum(|c| c.maxima.nominal), sum(|c| c.maxima.attainable));
            let head = [
                format!("{}, level {}", kind.name(), level.number()),
                group.len().to_string(),
            ];
            let columns = (0..4).flat_map(|i| [nominal[i].to_string(), attainable[i].to_string()]);
            table.push(head.into_iter().chain(columns));
        }
    }
    table
}
