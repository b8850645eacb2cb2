//! A service in operation: its admin listener, keys by the command, settings read again, TLS, HTTP/2.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::support::service::{Service, aglet, json as body};

/// Runs `aglet key ...`.
fn key(data: &Path, args: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_aglet"))
        .arg("key")
        .args(args)
        .arg("--data")
        .arg(data)
        .output()
        .expect("runs");
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8(text).expect("text"),
    )
}

fn get(service: &Service, url: &str, key: Option<&str>) -> (u16, Value) {
    let mut request = service.agent.get(url);
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let answer = request.call().expect("answers");
    (answer.status().as_u16(), body(answer))
}

#[test]
fn keys_are_made_and_revoked_beside_a_running_service() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut service = Service::start(&data, &[]);
    service.ready();
    let search = format!("{}/search?q=boots", service.url);
    let keys = format!("{}/admin/keys", service.admin);
    assert_eq!(get(&service, &search, None).0, 200);
    assert_eq!(get(&service, &keys, None).0, 200);
    let open = "there are no keys: searches are open, writes are taken on the admin listener alone (aglet key create)";
    assert!(service.has_logged(open));

    let (ok, text) = key(&data, &["create", "--name", "the shop", "--scope", "admin"]);
    assert!(ok, "{text}");
    let key_of = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("aglet_"));
        line.expect("a key").to_owned()
    };
    let admin = key_of(&text);
    // Taken over within a second or so: no request starts it.
    let shut = |service: &Service| (get(service, &search, None).0 == 401).then_some(());
    service.until("it is shut", shut);
    assert_eq!(get(&service, &keys, None).1["code"], "key_missing");
    assert_eq!(get(&service, &search, Some(&admin)).0, 200);
    let id = admin.split('_').nth(1).expect("an id").to_owned();
    let (ok, list) = key(&data, &["list"]);
    assert!(
        ok && list.contains(&id) && list.contains("\"the shop\""),
        "{list}"
    );
    let (ok, text) = key(&data, &["revoke", &id]);
    assert!(ok && text.contains("revoked"), "{text}");
    let shut = |service: &Service| (get(service, &search, Some(&admin)).0 == 401).then_some(());
    service.until("it is revoked", shut);
    let (ok, text) = key(&data, &["revoke", "none"]);
    assert!(!ok && text.contains("there is no key \"none\""), "{text}");
    let (ok, text) = key(
        &data,
        &[
            "create",
            "--name",
            "page",
            "--scope",
            "write",
            "--origin",
            "https://a.example",
        ],
    );
    assert!(!ok && text.contains("can only search"), "{text}");
    // The log has the id of a key that was good, and never a secret.
    let secret = admin.rsplit('_').next().expect("a secret");
    let log = service.log();
    assert!(
        log.iter().any(|line| line["span"]["key"] == id.as_str()),
        "{log:#?}"
    );
    assert!(log.iter().all(|line| !line.to_string().contains(secret)));
    let metrics = service
        .agent
        .get(format!("{}/metrics", service.admin))
        .call();
    let metrics = metrics
        .expect("answers")
        .into_body()
        .read_to_string()
        .expect("text");
    assert!(!metrics.contains(secret) && !metrics.contains(&id));
    service.end();
    assert!(service.has_logged("stopped"));
}

#[test]
fn settings_are_taken_over_by_a_signal_and_by_the_api() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("aglet.toml");
    let write = |text: &str| std::fs::write(&file, text).expect("written");
    write("queue = 100\n");
    let path = file.to_str().expect("text");
    let mut service = Service::start(&folder.path().join("data"), &["--config", path]);
    service.ready();
    let rate = |service: &Service| {
        let answer = service
            .agent
            .get(format!("{}/search?q=boots", service.url))
            .call();
        let answer = answer.expect("answers");
        let policy = answer.headers().get("ratelimit-policy");
        policy.map(|policy| policy.to_str().expect("text").to_owned())
    };
    assert_eq!(rate(&service), None);
    write("queue = 100\naddress_rate = 50\n");
    service.signal("HUP");
    let policy = service.until("the rate", rate);
    assert_eq!(policy, "\"address\";q=500;w=10");

    write("queue = 200\naddress_rate = 60\nlog_filter = \"debug\"\n");
    let reload = |service: &Service| {
        let answer = service
            .agent
            .post(format!("{}/admin/reload", service.admin));
        let answer = answer.send_empty().expect("answers");
        (answer.status().as_u16(), body(answer))
    };
    let report = json!({"changed": ["address_rate", "log_filter"], "at_start": ["queue"]});
    assert_eq!(reload(&service), (200, report));
    assert_eq!(rate(&service).as_deref(), Some("\"address\";q=600;w=10"));
    service.until("more lines", |service| {
        let alive = service.agent.get(format!("{}/livez", service.url)).call();
        assert!(alive.is_ok(), "such a line is for each");
        let log = service.log();
        log.iter()
            .any(|line| line["level"] == "DEBUG")
            .then_some(())
    });
    // Nothing of what is wrong is taken over.
    write("address_rte = 70\n");
    let (status, problem) = reload(&service);
    assert_eq!(
        (status, &problem["code"]),
        (422, &json!("settings_invalid"))
    );
    let detail = problem["detail"].as_str().expect("text");
    assert!(
        detail.contains("address_rte: is address_rate meant?"),
        "{detail}"
    );
    write("address_rate = 70\nqueue = 0\n");
    assert_eq!(reload(&service).0, 422);
    assert_eq!(rate(&service).as_deref(), Some("\"address\";q=600;w=10"));
    let public = service.agent.post(format!("{}/admin/reload", service.url));
    assert_eq!(public.send_empty().expect("answers").status(), 401);
    service.end();
}

#[test]
fn a_variable_that_means_nothing_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |name: &str| {
        let output = aglet("serve", &folder.path().join("data"))
            .arg("--check-config")
            .env(name, "0.0.0.0:1")
            .output()
            .expect("runs");
        (
            output.status.success(),
            String::from_utf8(output.stderr).expect("text"),
        )
    };
    let (ok, text) = run("AGLET_LISTN");
    assert!(
        !ok && text.contains("AGLET_LISTN: is AGLET_LISTEN meant?"),
        "{text}"
    );
    let (ok, text) = run("AGLET_PORT_8080_TCP_ADDR");
    assert!(ok, "{text}");
}

#[test]
fn the_admin_listener_can_be_elsewhere_or_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut off = Service::start(&data, &["--admin-listen", "off"]);
    assert_eq!(off.admin, "");
    assert!(
        off.has_logged(
            "there are no keys: searches are open, writes are refused (aglet key create)"
        )
    );
    off.end();
    let mut open = Service::start(&data, &["--admin-listen", "0.0.0.0:0"]);
    let warned = |line: &Value| {
        line["level"] == "WARN"
            && line["message"]
                .to_string()
                .contains("whoever reaches the admin listener may write")
    };
    assert!(open.log().iter().any(warned), "{:#?}", open.log());
    let taken = open.admin.trim_start_matches("http://0.0.0.0:").to_owned();
    let address = format!("127.0.0.1:{taken}");
    let output = aglet("serve", &data)
        .args(["--listen", "127.0.0.1:0", "--admin-listen", &address])
        .stdout(Stdio::null())
        .output()
        .expect("runs");
    let text = String::from_utf8(output.stderr).expect("text");
    assert!(
        !output.status.success() && text.contains("(admin_listen)"),
        "{text}"
    );
    open.end();
}

#[test]
fn a_request_names_one_host() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut service = Service::start(&folder.path().join("data"), &[]);
    let address = service.url.trim_start_matches("http://").to_owned();
    let status = |head: &str| {
        let mut stream = std::net::TcpStream::connect(&address).expect("connects");
        stream.write_all(head.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("text");
        answer.split(' ').nth(1).expect("a status").to_owned()
    };
    let of = |hosts: &str| {
        status(&format!(
            "GET /livez HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n"
        ))
    };
    assert_eq!(of("Host: shop.example\r\n"), "200");
    assert_eq!(of(""), "400");
    assert_eq!(of("Host: a\r\nHost: b\r\n"), "400");
    assert_eq!(status("GET /livez HTTP/1.0\r\n\r\n"), "200");
    service.end();
}

#[test]
fn a_runtime_that_is_cut_short_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = std::fs::read(crate::support::runtime().join("libonnxruntime.so"));
    let whole = whole.expect("reads");
    let cut = folder.path().join("libonnxruntime.so");
    std::fs::write(&cut, &whole[..whole.len() / 4 * 3]).expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_aglet"))
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--device",
            "cpu",
            "--model",
        ])
        .arg(crate::support::tiny_model())
        .arg("--runtime")
        .arg(&cut)
        .arg("--data")
        .arg(folder.path().join("data"))
        .output()
        .expect("runs");
    let text = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("is cut short"), "{text}");
}

/// A certificate for 127.0.0.1 that nobody else signed, and its key, written to files.
fn certificate(folder: &Path) -> (Vec<u8>, [String; 2]) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("made");
    let paths = ["cert.pem", "key.pem"].map(|name| folder.join(name));
    std::fs::write(&paths[0], made.cert.pem()).expect("written");
    std::fs::write(&paths[1], made.signing_key.serialize_pem()).expect("written");
    let paths = paths.map(|path| path.to_str().expect("text").to_owned());
    (made.cert.der().to_vec(), paths)
}

fn trusting(certificate: &[u8]) -> ureq::Agent {
    let roots = [Certificate::from_der(certificate).to_owned()];
    let tls = TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(roots.to_vec())));
    let agent = ureq::Agent::config_builder()
        .tls_config(tls.build())
        .http_status_as_error(false)
        .max_idle_connections(0)
        .timeout_global(Some(Duration::from_mins(1)));
    agent.build().into()
}

#[test]
fn tls_with_a_certificate_that_is_renewed() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let (first, [cert, key]) = certificate(folder.path());
    let flags = ["--tls-cert", &cert, "--tls-key", &key];
    let mut service = Service::start(&data, &flags);
    let url = service.url.replace("http://", "https://") + "/livez";
    let asks = |certificate: &[u8]| trusting(certificate).get(&url).call().is_ok();
    assert!(asks(&first));
    let plain = service.agent.get(service.url.clone() + "/livez").call();
    assert!(plain.is_err(), "no answer in the clear");
    // Broken files change nothing.
    std::fs::write(&cert, "no certificate").expect("written");
    let reload = format!("{}/admin/reload", service.admin);
    let answer = service.agent.post(&reload).send_empty().expect("answers");
    assert_eq!(answer.status(), 422);
    assert!(asks(&first));
    let (second, _) = certificate(folder.path());
    let answer = service.agent.post(&reload).send_empty().expect("answers");
    assert_eq!(answer.status(), 200);
    assert!(asks(&second) && !asks(&first));
    service.end();
    let wrong = aglet("serve", &data)
        .args([
            "--listen",
            "127.0.0.1:0",
            "--tls-cert",
            &key,
            "--tls-key",
            &key,
        ])
        .output()
        .expect("runs");
    let text = String::from_utf8(wrong.stderr).expect("text");
    assert!(
        !wrong.status.success() && text.contains("holds no certificate"),
        "{text}"
    );
}

#[test]
fn http2_by_prior_knowledge() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut service = Service::start(&folder.path().join("data"), &[]);
    service.ready();
    let address = service.url.trim_start_matches("http://").to_owned();
    let url = format!("{}/search?q=boots", service.url);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address)
            .await
            .expect("connects");
        let (client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .expect("shakes hands");
        let connection = tokio::spawn(connection);
        // Many at once over the one connection.
        let asked = (0..20).map(|_| {
            let request = hyper::Request::get(&url)
                .body(String::new())
                .expect("a request");
            tokio::spawn(client.clone().send_request(request))
        });
        for answer in asked.collect::<Vec<_>>() {
            let answer = answer.await.expect("no panic").expect("answers");
            assert_eq!(
                (answer.status().as_u16(), answer.version()),
                (200, hyper::Version::HTTP_2)
            );
        }
        drop(client);
        connection.await.expect("no panic").expect("ends in order");
    });
    service.end();
}
