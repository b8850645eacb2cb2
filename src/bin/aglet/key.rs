//! `aglet key`: keys of the API, made, listed and revoked.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aglet::domain::{ApiKeyRecord, NewApiKey, Rate, Scope};
use aglet::service::access::make_key;

use crate::place::CatalogPlace;

/// Make, list and revoke the keys of the API
///
/// A service takes a change over within a second. From the first key on, requests need one.
#[derive(clap::Args)]
pub struct KeyArgs {
    #[command(flatten)]
    place: CatalogPlace,
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(clap::Subcommand)]
enum KeyCommand {
    /// Make a key and print it: it cannot be shown again
    Create {
        /// What its owner is called
        #[arg(long)]
        name: String,
        /// search, write (and search, for the shop's own systems) or admin (everything)
        #[arg(long, value_parser = scope)]
        scope: Scope,
        /// Web origin whose pages may use it, as https://shop.example; may be repeated. A key with
        /// origins is for browsers alone, and can only search.
        #[arg(long = "origin", value_name = "ORIGIN")]
        origins: Vec<String>,
        /// How long it is good for, as 90d or 1y; for ever when not given
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        expires_in: Option<Duration>,
        /// Requests a second that it may make; a key with origins, from each address. 0: any number.
        #[arg(long, default_value_t = 0)]
        rate: u32,
        /// Requests that it may make at once; 0: what ten seconds give
        #[arg(long, default_value_t = 0)]
        burst: u32,
    },
    /// List the keys
    List,
    /// Revoke a key for good
    Revoke { id: String },
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::parse(text).ok_or_else(|| "search, write or admin".to_owned())
}

pub fn run(args: &KeyArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let catalog = args.place.open().await?;
        match &args.command {
            KeyCommand::Create {
                name,
                scope,
                origins,
                expires_in,
                rate,
                burst,
            } => {
                let expires =
                    expires_in.map(|left| (SystemTime::now() + left).duration_since(UNIX_EPOCH));
                let expires = expires.transpose()?.map(|since| since.as_secs());
                let new = NewApiKey {
                    name: name.clone(),
                    scope: *scope,
                    origins: origins.clone(),
                    expires,
                    rate: Rate::new(*rate, *burst),
                };
                let (key, record) = make_key(&catalog, new).await?;
                eprintln!("{}\nthe key, shown this once:", line(&record));
                println!("{}", key.text());
            }
            KeyCommand::List => {
                for record in catalog.api_keys().await? {
                    println!("{}", line(&record));
                }
            }
            KeyCommand::Revoke { id } => match catalog.revoke_api_key(id).await? {
                Some(record) => println!("{}", line(&record)),
                None => anyhow::bail!("there is no key {id:?}; aglet key list"),
            },
        }
        catalog.close().await;
        Ok(())
    })
}

fn line(key: &ApiKeyRecord) -> String {
    let time = |seconds| {
        let at = UNIX_EPOCH + Duration::from_secs(seconds);
        humantime::format_rfc3339_seconds(at).to_string()
    };
    let mut parts = vec![
        key.id.clone(),
        key.scope.to_string(),
        format!("{:?}", key.name),
        format!("made {}", time(key.created)),
    ];
    parts.extend(key.expires.map(|at| format!("expires {}", time(at))));
    if !key.origins.is_empty() {
        parts.push(format!("for {}", key.origins.join(", ")));
    }
    let rate = |rate: Rate| format!("{}/s, {} at once", rate.per_second, rate.burst);
    parts.extend(key.rate.map(rate));
    parts.extend(key.revoked.map(|at| format!("revoked {}", time(at))));
    parts.join("  ")
}
