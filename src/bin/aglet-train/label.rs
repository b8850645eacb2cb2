//! `aglet-train label`: a local page on which a person labels photos.

use std::path::PathBuf;

use aglet::domain::AttributeName;
use aglet::train::tools::label::{self, Labeling};
use anyhow::Context as _;
use clap::Args;

/// Label an attribute photo by photo, on a local page with a key for each value
#[derive(Args)]
pub struct LabelArgs {
    /// The data set's folder
    #[arg(long, value_name = "DIR")]
    set: PathBuf,
    #[arg(long, value_name = "NAME", default_value = "shoelace_color", value_parser = attribute)]
    attribute: AttributeName,
    /// The values to choose from, separated by commas [default: those of the data set]
    #[arg(long, value_name = "VALUES", value_delimiter = ',')]
    values: Vec<String>,
    /// The CSV file of labels; products that it already holds count as done
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The port of the page; 0: any free one
    #[arg(long, default_value_t = 8091)]
    port: u16,
}

fn attribute(text: &str) -> Result<AttributeName, String> {
    AttributeName::new(text).map_err(|e| e.to_string())
}

pub fn run(args: LabelArgs) -> anyhow::Result<()> {
    let labeling = Labeling::open(&args.set, args.attribute, &args.values, &args.out)?;
    let (total, labeled) = labeling.progress();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let address = (std::net::Ipv4Addr::LOCALHOST, args.port);
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .with_context(|| {
                format!(
                    "port {} of this machine is not free: choose another with --port",
                    args.port
                )
            })?;
        println!(
            "{labeled} of {total} photos labeled; open http://localhost:{}",
            listener.local_addr()?.port()
        );
        tokio::select! {
            served = label::serve(listener, labeling) => served.map_err(anyhow::Error::from),
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    })
}
