//! Feeds of a running service, and the page behind a path.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};

use crate::pictures::png;
use crate::support::multipart;
use crate::support::serve;
use crate::support::service::Service;

const FEED: &str = "Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Variant SKU,Variant Inventory Tracker,Variant Inventory Qty,Variant Inventory Policy,Variant Price,Variant Compare At Price,Status\n\
urban,Urban Low,<p>Soft &amp; light</p>,Norrfold,Sneakers,new,TRUE,Color,Red,Size,41,U-R41,shopify,0,deny,59.90,,active\n\
urban,,,,,,,,Red,,42,U-R42,shopify,3,deny,59.90,79.90,\n\
urban,,,,,,,,Blue,,41,U-B41,shopify,5,deny,59.90,,\n\
hill,Hill Boot,,Norrfold,Boots,,TRUE,Color,Red,Size,41,H-R41,shopify,1,deny,99.00,,active\n";

#[test]
fn a_running_service_fetches_its_feeds_and_variants_are_found_as_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let router = Router::new().route("/products.csv", get(async || FEED));
    let port = serve(router);
    let feeds = folder.path().join("feeds.toml");
    let text = format!(
        "[[feed]]\naddress = \"http://127.0.0.1:{port}/products.csv?token=secret\"\nevery = \"1m\"\n\
         [[feed]]\naddress = \"http://127.0.0.1:{port}/missing.csv\"\n"
    );
    std::fs::write(&feeds, text).expect("written");
    let flags = ["--feeds", feeds.to_str().expect("a path")];
    let mut service = Service::start(&folder.path().join("data"), &flags);
    let found = |service: &Service, path: &str| {
        let (status, answer) = service.get(path);
        (status == 200).then(|| answer["estimated_total"].clone())
    };
    service.until("all variants", |service| {
        found(service, "/search?q=urban&limit=10").filter(|total| *total == json!(3))
    });
    // Red, in size 41, and in stock: that is one variant, not a product that has each of them somewhere.
    let of = |query: &str| -> Vec<String> {
        let (_, answer) = service.get(&format!("/search?{query}"));
        let hits = answer["hits"].as_array().cloned().unwrap_or_default();
        let mut ids: Vec<String> = hits
            .iter()
            .map(|hit| hit["id"].as_str().unwrap_or_default().to_owned())
            .collect();
        ids.sort();
        ids
    };
    assert_eq!(of("color=Red&size=41&in_stock=true"), ["H-R41"]);
    assert_eq!(of("color=Red&size=42&in_stock=true"), ["U-R42"]);
    assert_eq!(of("q=urban&color=Red"), ["U-R41", "U-R42"]);
    let (_, grouped) = service.get("/search?q=urban&group_by=style&sort=price");
    assert_eq!(
        grouped["hits"].as_array().map(Vec::len),
        Some(1),
        "{grouped}"
    );
    assert_eq!(of("filter=current_price:..60"), ["U-B41", "U-R41", "U-R42"]);
    let (_, product) = service.get("/products/U-R42");
    assert_eq!(
        (
            &product["product"]["price"],
            &product["product"]["sale_price"]
        ),
        (&json!(79.9), &json!(59.9)),
        "{product}"
    );
    assert_eq!(product["product"]["description"], json!("Soft & light"));
    // The like of a variant is another product, not another size of it.
    let like = service.until("an embedding", |service| {
        let (status, like) = service.get("/products/U-R41/similar");
        (status == 200).then_some(like)
    });
    let ids: Vec<&Value> = like["hits"]
        .as_array()
        .expect("hits")
        .iter()
        .map(|hit| &hit["id"])
        .collect();
    assert_eq!(ids, [&json!("H-R41")]);
    // A feed that does not come is a warning and no more.
    let warned = service.until("a warning", |service| {
        let (status, report) = service.get("/readyz");
        let warnings = report["warnings"].to_string();
        (status == 200 && warnings.contains("missing.csv")).then_some(warnings)
    });
    assert!(
        warned.contains("404") && !warned.contains("secret"),
        "{warned}"
    );
    service.end();
    assert!(service.has_logged("the feed was taken"));
    assert!(!format!("{:?}", service.log()).contains("token=secret"));
}

/// A proxy that takes `/find` away and passes the rest on, for the rest of the process.
fn proxy(listener: TcpListener, to: String, keeps_host: bool) {
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let to = to.clone();
            std::thread::spawn(move || pass_on(client, &to, keeps_host));
        }
    });
}

fn pass_on(mut client: TcpStream, to: &str, keeps_host: bool) -> Option<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.split("\r\n");
    let (method, rest) = lines.next()?.split_once(' ')?;
    let Some(path) = rest.strip_prefix("/find") else {
        client
            .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .ok()?;
        return None;
    };
    let path = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    };
    let mut request = format!("{method} {path}\r\nconnection: close\r\n");
    let mut length = 0;
    for line in lines.filter(|line| !line.is_empty()) {
        let name = line.split(':').next()?.to_lowercase();
        let value = line.split_once(':').map_or("", |(_, value)| value.trim());
        match name.as_str() {
            "connection" => continue,
            "host" if !keeps_host => {
                request.push_str("host: upstream\r\n");
                continue;
            }
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
        request.push_str(line);
        request.push_str("\r\n");
    }
    let mut body = vec![0; length];
    client.read_exact(&mut body).ok()?;
    let mut server = TcpStream::connect(to).ok()?;
    server.write_all(request.as_bytes()).ok()?;
    server.write_all(b"\r\n").ok()?;
    server.write_all(&body).ok()?;
    std::io::copy(&mut server, &mut client).ok()?;
    Some(())
}

/// Addresses that a page or a script names, relative to it.
fn named(text: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for mark in [
        "src=\"",
        "href=\"",
        "from \"",
        "import \"",
        "url\": \"",
        "\"url\":\"",
    ] {
        for (at, _) in text.match_indices(mark) {
            let rest = &text[at + mark.len()..];
            let end = rest.find(['"', '#']).unwrap_or(rest.len());
            let address = &rest[..end];
            let is_own = !address.is_empty() && !address.contains(':') && !address.contains('$');
            if is_own {
                all.insert(address.to_owned());
            }
        }
    }
    all
}

/// What `relative` means at `base`, both paths.
fn joined(base: &str, relative: &str) -> String {
    if relative.starts_with('/') {
        return relative.to_owned();
    }
    let mut parts: Vec<&str> = base.split('/').collect();
    parts.pop();
    for part in relative.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let path = parts.join("/");
    if relative.ends_with("./") && !path.ends_with('/') {
        format!("{path}/")
    } else {
        path
    }
}

#[test]
fn the_page_and_the_documentation_work_behind_a_path() {
    let folder = tempfile::tempdir().expect("a folder");
    for (is_known, keeps_host, starts) in [
        (false, true, &["/find/"][..]),
        (true, false, &["/find/"]),
        (true, true, &["/find/", "/find"]),
    ] {
        let data = folder.path().join(format!("data-{is_known}-{keeps_host}"));
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let public_url = if is_known {
            format!("http://127.0.0.1:{port}/find/")
        } else {
            String::new()
        };
        let mut service = Service::start(&data, &["--public-url", &public_url]);
        service.ready();
        let to = service
            .url
            .strip_prefix("http://")
            .expect("an address")
            .to_owned();
        proxy(listener, to, keeps_host);
        let fetch = |path: &str| -> (u16, String) {
            let answer = service
                .agent
                .get(format!("http://127.0.0.1:{port}{path}"))
                .call();
            let mut answer = answer.expect("an answer");
            let text = answer.body_mut().read_to_string().unwrap_or_default();
            (answer.status().as_u16(), text)
        };
        for start in starts {
            let mut seen = BTreeSet::from([(*start).to_owned()]);
            let mut waiting = vec![
                (*start).to_owned(),
                "/find/docs/".to_owned(),
                "/find/docs".to_owned(),
            ];
            while let Some(path) = waiting.pop() {
                let (status, text) = fetch(&path);
                assert_eq!(status, 200, "{path} of {public_url:?}");
                let is_read = path.ends_with('/')
                    || path.ends_with("find")
                    || path.contains("/page/")
                    || path.ends_with("initializer.js");
                // Swagger UI's own bundle holds addresses of all sorts.
                for relative in named(&text).into_iter().filter(|_| is_read) {
                    let address = joined(&path, &relative);
                    if seen.insert(address.clone()) {
                        waiting.push(address);
                    }
                }
            }
            for path in [
                "/find/page/app.js",
                "/find/page/style.css",
                "/find/page/address.js",
            ] {
                assert!(seen.contains(path), "{path}: {seen:?}");
            }
        }
        // What the page asks, at the paths that its scripts make of their own address.
        let (status, answer) = fetch("/find/search?q=boots");
        assert_eq!(status, 200, "{answer}");
        let form = multipart::form(&[("image", &png([200, 20, 20], [90, 0, 0]))]);
        let photo = service
            .agent
            .post(format!("http://127.0.0.1:{port}/find/search/image"))
            .header("content-type", multipart::FORM)
            .send(&form[..]);
        assert_eq!(photo.expect("an answer").status(), 200);
        let (_, document) = fetch("/find/openapi.json");
        let document: Value = serde_json::from_str(&document).expect("JSON");
        let server = if public_url.is_empty() {
            "/"
        } else {
            public_url.trim_end_matches('/')
        };
        assert_eq!(document["servers"][0]["url"], json!(server));
        let (_, initializer) = fetch("/find/docs/swagger-initializer.js");
        assert!(initializer.contains("../openapi.json"), "{initializer}");
        service.end();
    }
}
