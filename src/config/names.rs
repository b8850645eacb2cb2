//! Names that are no settings, and those that were perhaps meant.

use crate::util::nearest::nearest;

/// A name that means nothing, and the one that was perhaps meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    pub name: String,
    pub nearest: Option<String>,
}

/// Variables of the environment that are named as settings are, and are none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment has variables of this name that mean nothing here:{}", listed(.0))]
pub struct UnknownVariables(Vec<Unknown>);

impl Unknown {
    pub(super) fn of<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            name: name.to_owned(),
            nearest: nearest(name, known).map(str::to_owned),
        }
    }
}

pub(super) fn listed(unknown: &[Unknown]) -> String {
    let line = |Unknown { name, nearest }: &Unknown| match nearest {
        Some(nearest) => format!("\n  - {name}: is {nearest} meant?"),
        None => format!("\n  - {name}"),
    };
    unknown.iter().map(line).collect()
}

/// Checks that every variable of the environment named `AGLET_*` is one that is read.
///
/// Kubernetes names variables after a service: `AGLET_SERVICE_HOST`, `AGLET_PORT_8080_TCP_ADDR` and so on
/// for one that is called aglet. These pass, as do those of the project's own tests.
///
/// # Errors
/// With all that are not, and the names that were perhaps meant.
pub fn check_variables(
    given: impl IntoIterator<Item = String>,
    known: &[&str],
) -> Result<(), UnknownVariables> {
    let unknown = given.into_iter().filter(|name| {
        let read = || known.contains(&name.as_str());
        name.starts_with("AGLET_") && !read() && !is_of_a_service(name) && !is_of_tests(name)
    });
    let mut unknown: Vec<_> = unknown
        .map(|name| Unknown::of(&name, known.iter().copied()))
        .collect();
    unknown.sort_by(|a, b| a.name.cmp(&b.name));
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(UnknownVariables(unknown))
    }
}

fn is_of_a_service(name: &str) -> bool {
    let port = |rest: &str| {
        let mut parts = rest.splitn(3, '_');
        let number = parts.next().is_some_and(|n| n.parse::<u16>().is_ok());
        let protocol = parts
            .next()
            .is_some_and(|p| ["TCP", "UDP", "SCTP"].contains(&p));
        let what = parts.next();
        number && protocol && what.is_none_or(|what| ["PORT", "PROTO", "ADDR"].contains(&what))
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.ends_with("_PORT")
        || name
            .match_indices("_PORT_")
            .any(|(at, mark)| port(&name[at + mark.len()..]))
}

fn is_of_tests(name: &str) -> bool {
    let begins = ["AGLET_TEST_", "AGLET_BENCH_"];
    begins.iter().any(|begin| name.starts_with(begin))
        || ["AGLET_SKIPS", "AGLET_SHARED_DATA", "AGLET_COMMIT"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_variable_is_an_error_that_names_the_nearest() {
        let known = ["AGLET_LISTEN", "AGLET_DATA"];
        let check = |given: &[&str]| {
            let given = given.iter().map(ToString::to_string);
            check_variables(given, &known).map_err(|error| error.to_string())
        };
        assert_eq!(check(&["AGLET_DATA", "PATH", "AGLET_TEST_KILLS"]), Ok(()));
        let error = check(&["AGLET_LISTN", "AGLET_FOO"]).expect_err("refused");
        assert!(
            error.contains("- AGLET_LISTN: is AGLET_LISTEN meant?"),
            "{error}"
        );
        assert!(error.contains("- AGLET_FOO\n"), "{error}");
        // As Kubernetes sets them for services that are called aglet and aglet-search.
        let kubernetes = [
            "AGLET_SERVICE_HOST",
            "AGLET_SERVICE_PORT",
            "AGLET_SERVICE_PORT_HTTP",
            "AGLET_PORT",
            "AGLET_PORT_8080_TCP",
            "AGLET_PORT_8080_TCP_PROTO",
            "AGLET_PORT_8080_TCP_PORT",
            "AGLET_PORT_8080_TCP_ADDR",
            "AGLET_SEARCH_SERVICE_HOST",
            "AGLET_SEARCH_PORT_8081_TCP_ADDR",
        ];
        assert_eq!(check(&kubernetes), Ok(()));
    }
}
