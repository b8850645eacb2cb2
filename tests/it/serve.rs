//! `aglet serve`, the program itself: its start and its restart, an import beside it, its end, its
//! log, its memory.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};

use crate::support::multipart::{FORM, form};
use crate::support::service::{Service, aglet, json};

/// A photo of 60 x 80 pixels, another for every number.
fn photo(number: u8) -> Vec<u8> {
    let pixel = |x: u32, y: u32| {
        Rgb([
            number.wrapping_mul(20),
            (3 * x).to_le_bytes()[0],
            (2 * y).to_le_bytes()[0],
        ])
    };
    file(&RgbImage::from_fn(60, 80, pixel).into(), ImageFormat::Png)
}

fn file(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).expect("encodes");
    bytes.into_inner()
}

/// A shop of so many products as JSON Lines with a photo each.
fn draw(folder: &Path, products: u8) {
    let line = |number: u8| {
        std::fs::write(folder.join(format!("{number}.png")), photo(number)).expect("written");
        let color = ["Black", "Brown"][usize::from(number % 2)];
        let attributes = json!({"category": "Boots", "color": color});
        let product = json!({"id": number.to_string(), "title": format!("Boot {number}"),
            "image": format!("{number}.png"), "attributes": attributes});
        format!("{product}\n")
    };
    std::fs::write(
        folder.join("products.jsonl"),
        (1..=products).map(line).collect::<String>(),
    )
    .expect("written");
}

fn import(folder: &Path) -> Command {
    let mut command = aglet("import", &folder.join("data"));
    command
        .arg("--products")
        .arg(folder.join("products.jsonl"))
        .arg("--images")
        .arg(folder);
    command
}

fn imported(mut command: Command) {
    let output = command.output().expect("runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// How many products a search over everything ranks.
fn found(service: &Service) -> Value {
    service.get("/search?q=boots&limit=1").1["estimated_total"].clone()
}

#[test]
fn a_restart_is_ready_without_embedding_or_building_anything() {
    let folder = tempfile::tempdir().expect("a folder");
    draw(folder.path(), 9);
    imported(import(folder.path()));
    let data = folder.path().join("data");
    let mut first = Service::start(&data, &[]);
    let report = first.ready();
    assert_eq!(
        (&report["products"], &report["catalog"]["embedded"]),
        (&json!(9), &json!(9))
    );
    let answer = first.get("/search?q=brown+boots&limit=3&color=Brown").1;
    assert_eq!(
        (
            answer["hits"].as_array().map(Vec::len),
            &answer["estimated_total"]
        ),
        (Some(3), &json!(5))
    );
    assert!(first.has_logged("index built"));
    // Logged once the index is saved.
    first.until("the index is saved", |service| {
        service
            .has_logged("the index is what the catalog says; changes are followed")
            .then_some(())
    });
    first.end();

    let mut second = Service::start(&data, &[]);
    let again = second.ready();
    assert_eq!(
        (&again["products"], &again["index_version"]),
        (&json!(9), &report["index_version"])
    );
    assert_eq!(
        second.get("/search?q=brown+boots&limit=3&color=Brown").1["hits"],
        answer["hits"]
    );
    // The keeper has looked once it says so; then nothing was built and nothing embedded.
    second.until("a look at the catalog", |service| {
        service
            .has_logged("the index is what the catalog says; changes are followed")
            .then_some(())
    });
    second.end();
    assert!(
        !second.has_logged("index built") && !second.has_logged("catalog embedded"),
        "{:#?}",
        second.log()
    );

    // A snapshot that is damaged is built anew, not served.
    let mut folders = std::fs::read_dir(data.join("index")).expect("a folder");
    let index = folders
        .next()
        .expect("of the model")
        .expect("a folder")
        .path();
    let largest = std::fs::read_dir(&index)
        .expect("a folder")
        .flatten()
        .max_by_key(|f| f.metadata().expect("a file").len());
    let path = largest.expect("a file").path();
    let mut bytes = std::fs::read(&path).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&path, bytes).expect("written");
    let mut third = Service::start(&data, &[]);
    assert_eq!(third.ready()["products"], 9);
    assert_eq!(
        third.get("/search?q=brown+boots&limit=3&color=Brown").1["hits"],
        answer["hits"]
    );
    assert!(third.has_logged("index built"));
    third.end();
}

#[test]
fn an_empty_folder_is_served_and_said_to_be_empty() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("mistyped");
    let mut service = Service::start(&data, &["--refresh-seconds", "1"]).at_admin();
    // Ready: a shop may write its first product over HTTP.
    assert_eq!(service.ready()["products"], 0);
    let log = service.log();
    let said = log
        .iter()
        .find(|line| {
            line["message"]
                .as_str()
                .is_some_and(|m| m.starts_with("the catalog is empty"))
        })
        .expect("a warning");
    assert_eq!(said["level"], "WARN");
    let named = said["data"].as_str().expect("a folder");
    assert!(named.ends_with("mistyped"), "{said}");
    // An import into the folder is taken up.
    draw(folder.path(), 3);
    let mut load = aglet("import", &data);
    load.arg("--products")
        .arg(folder.path().join("products.jsonl"));
    imported(load);
    service.until("the products", |service| {
        (service.get("/readyz").1["products"] == 3).then_some(())
    });
    service.end();

    let mut again = Service::start(&data, &[]);
    again.ready();
    again.end();
    assert!(!again.log().iter().any(|line| {
        line["message"]
            .as_str()
            .is_some_and(|m| m.starts_with("the catalog is empty"))
    }));
}

#[test]
fn a_data_folder_that_is_replaced_under_the_service_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    draw(folder.path(), 3);
    imported(import(folder.path()));
    let data = folder.path().join("data");
    let mut service = Service::start(&data, &[]);
    service.ready();
    let saved = data.join("index");
    service.until("the index is saved", |_| {
        let mut models = saved.read_dir().ok()?.flatten();
        models
            .any(|model| model.path().join("index.head").is_file())
            .then_some(())
    });
    let not_ready = |service: &Service| {
        let (status, report) = service.get("/readyz");
        (status == 503 && report.to_string().contains("removed or replaced")).then_some(())
    };
    std::fs::rename(&data, folder.path().join("old")).expect("renamed");
    service.until("it is gone", not_ready);
    // Another catalog in its place is another catalog.
    imported(import(folder.path()));
    let looks = |service: &Service| {
        let log = service.log();
        let noticed = log.iter().filter(|line| {
            let message = line["message"].as_str();
            message.is_some_and(|m| m.contains("removed or replaced"))
        });
        noticed.count()
    };
    let before = looks(&service);
    service.until("it is another one", |service| {
        not_ready(service).filter(|()| looks(service) > before)
    });
    // The one that was opened is what it was.
    std::fs::remove_dir_all(&data).expect("removed");
    std::fs::rename(folder.path().join("old"), &data).expect("renamed");
    service.ready();
    service.end();
}

#[test]
fn the_places_that_settings_name_are_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    let there = folder.path().join("data");
    std::fs::create_dir(&there).expect("a folder");
    std::fs::write(folder.path().join("file"), "").expect("written");
    let check = |data: &Path| {
        let output = aglet("serve", data).arg("--check-config").output();
        let output = output.expect("runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(String::from_utf8_lossy(&output.stdout).contains("data = "));
        (output.status.code(), said)
    };
    assert_eq!(check(&there), (Some(0), String::new()));
    let (code, said) = check(&folder.path().join("new"));
    assert!(code == Some(0) && said.contains("is not there"), "{said}");
    for (data, named) in [("no/where", "nor its parent"), ("file", "is no folder")] {
        let (code, said) = check(&folder.path().join(data));
        assert!(code == Some(1) && said.contains(named), "{said}");
    }
    let empty = there.to_str().expect("UTF-8");
    let mut without = Command::new(env!("CARGO_BIN_EXE_aglet"));
    without.args(["serve", "--check-config", "--data", empty]);
    without.args([
        "--model",
        empty,
        "--runtime",
        empty,
        "--synonyms",
        "no-such-file",
    ]);
    let output = without.output().expect("runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    for named in ["no ONNX Runtime at", "has no model.json", "no-such-file"] {
        assert!(said.contains(named), "{said}");
    }
    assert!(
        there.read_dir().expect("reads").next().is_none(),
        "nothing is made"
    );
}

#[test]
fn a_backup_of_a_running_service_is_restored_and_verified() {
    let folder = tempfile::tempdir().expect("a folder");
    draw(folder.path(), 9);
    imported(import(folder.path()));
    let data = folder.path().join("data");
    let (to, restored) = (folder.path().join("b.zip"), folder.path().join("restored"));
    let mut service = Service::start(&data, &[]);
    service.ready();
    let hits = |service: &Service| service.get("/search?q=brown+boots&limit=9").1["hits"].clone();
    let before = hits(&service);
    let program = |arguments: &[&str], data: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aglet"));
        let output = command.args(arguments).arg("--data").arg(data).output();
        let output = output.expect("runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "{said}");
        said
    };
    let file = to.to_str().expect("UTF-8");
    let said = program(&["backup", "--to", file, "--pictures"], &data);
    assert!(
        said.contains("9 products, 0 uploads and 9 pictures"),
        "{said}"
    );
    service.end();
    let said = program(&["restore", "--from", file], &restored);
    assert!(said.contains("9 products"), "{said}");

    let mut again = Service::start(&restored, &[]);
    again.ready();
    again.until("the index is saved", |service| {
        service
            .has_logged("the index is what the catalog says; changes are followed")
            .then_some(())
    });
    assert_eq!(hits(&again), before);
    again.end();
    let verified = aglet("verify", &restored).output().expect("runs");
    let said = String::from_utf8_lossy(&verified.stdout);
    assert!(
        verified.status.success() && said.contains("9 products compared"),
        "{said}"
    );
}

#[test]
fn it_is_not_ready_before_the_whole_catalog_is_indexed() {
    let folder = tempfile::tempdir().expect("a folder");
    draw(folder.path(), 60);
    let mut load = import(folder.path());
    load.arg("--skip-embedding");
    imported(load);
    let mut service = Service::start(&folder.path().join("data"), &["--refresh-seconds", "1"]);
    // The first report that says yes says it of everything; until then a search has hits, or says
    // that it has nothing to answer with, but never an empty page.
    let report = service.until("ready", |service| {
        let (status, answer) = service.get("/search?q=shoes&limit=5");
        let hits = answer["hits"].as_array().map_or(0, Vec::len);
        assert!(
            (status == 200 && hits > 0) || status == 503,
            "{status} {answer}"
        );
        Some(service.get("/readyz"))
            .filter(|(status, _)| *status == 200)
            .map(|(_, report)| report)
    });
    assert_eq!(report["products"], 60);
    assert_eq!(report["catalog"]["pending"], 0);
    service.end();

    // What was searchable serves at once after a restart, also when the catalog has changed since.
    draw(folder.path(), 61);
    let mut load = import(folder.path());
    load.arg("--skip-embedding");
    imported(load);
    let mut again = Service::start(&folder.path().join("data"), &["--refresh-seconds", "1"]);
    assert_eq!(again.get("/search?q=shoes&limit=5").0, 200);
    again.ready();
    again.until("the new one", |service| {
        (service.get("/readyz").1["products"] == 61).then_some(())
    });
    again.end();
}

/// Boots at these prices, of sizes that a file of types calls text.
fn priced(folder: &Path, prices: &[u32]) {
    let line = |(number, price): (usize, &u32)| {
        let product = json!({"id": number.to_string(), "title": format!("Boot {number}"), "price": price,
            "attributes": {"category": "Boots", "size": [40 + number]}});
        format!("{product}\n")
    };
    let lines = prices.iter().enumerate().map(line).collect::<String>();
    std::fs::write(folder.join("products.jsonl"), lines).expect("written");
}

#[test]
fn another_price_is_taken_over_without_another_graph() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, types) = (folder.path().join("data"), folder.path().join("types.toml"));
    std::fs::write(&types, "size = \"text\"\n").expect("written");
    priced(folder.path(), &[30, 10, 20]);
    imported(import(folder.path()));
    let flags = [
        "--refresh-seconds",
        "1",
        "--types",
        types.to_str().expect("UTF-8"),
    ];
    let by_price = |service: &Service| {
        let answer = service.get("/search?q=boots&sort=price&facets=price").1;
        let prices = answer["hits"].as_array().expect("hits").iter();
        let prices: Vec<Value> = prices.map(|hit| hit["product"]["price"].clone()).collect();
        (json!(prices), answer["facets"][0]["max"].clone())
    };
    let mut service = Service::start(&data, &flags);
    service.ready();
    assert_eq!(by_price(&service), (json!([10.0, 20.0, 30.0]), json!(30.0)));
    let (status, refused) = service.get("/search?filter=size:40..41");
    assert_eq!((status, &refused["parameter"]), (400, &json!("size")));
    let version = service.ready()["index_version"].clone();
    service.until("the index is saved", |service| {
        service
            .has_logged("the index is what the catalog says; changes are followed")
            .then_some(())
    });
    priced(folder.path(), &[30, 50, 20]);
    imported(import(folder.path()));
    service.until("the new price", |service| {
        (by_price(service) == (json!([20.0, 30.0, 50.0]), json!(50.0))).then_some(())
    });
    assert_ne!(service.ready()["index_version"], version);
    service.end();
    let log = service.log();
    let built = log.iter().filter(|line| line["message"] == "index built");
    assert_eq!(built.count(), 1, "{:#?}", service.log());

    // The saved index is of before: a restart takes the prices over, too.
    let mut again = Service::start(&data, &flags);
    again.ready();
    again.until("the new price", |service| {
        (by_price(service) == (json!([20.0, 30.0, 50.0]), json!(50.0))).then_some(())
    });
    again.end();
    assert!(!again.has_logged("index built"), "{:#?}", again.log());
}

#[test]
fn a_file_of_types_that_is_wrong_is_said_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let types = folder.path().join("types.toml");
    for (text, why) in [
        ("size = \"length\"\n", "length"),
        ("price = \"text\"\n", "price"),
    ] {
        std::fs::write(&types, text).expect("written");
        let mut command = aglet("serve", &folder.path().join("data"));
        command.arg("--types").arg(&types);
        let output = command.output().expect("runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{text}");
        assert!(said.contains("types") && said.contains(why), "{said}");
    }
}

/// ONNX Runtime 1.32 looks up a host of its maker after each start, and keeps files in the home
/// folder, unless it is told not to before it is loaded.
#[test]
fn a_start_calls_nobody_and_writes_nothing_outside_its_data() {
    let folder = tempfile::tempdir().expect("a folder");
    draw(folder.path(), 3);
    imported(import(folder.path()));
    let (data, home) = (folder.path().join("data"), folder.path().join("home"));
    std::fs::create_dir(&home).expect("made");
    let traced = folder.path().join("calls");
    let have_strace = Command::new("strace").arg("-V").output().is_ok();
    let plain = aglet("serve", &data);
    let mut command = Command::new(if have_strace {
        "strace".as_ref()
    } else {
        plain.get_program()
    });
    if have_strace {
        // -D: the process that is started is the service, and strace its child.
        command.args([
            "-D",
            "-f",
            "-qq",
            "-e",
            "trace=connect,sendto,sendmsg,sendmmsg",
            "-o",
        ]);
        command.arg(&traced).arg(plain.get_program());
    }
    command
        .args(plain.get_args())
        .env("HOME", &home)
        .env_remove("XDG_CACHE_HOME")
        .env_remove("ORT_DISABLE_TELEMETRY")
        .current_dir(&home);
    let mut service = Service::run(command, &[]);
    service.ready();
    // Its first look-up came within the first seconds.
    std::thread::sleep(Duration::from_secs(5));
    service.end();
    let written: Vec<_> = std::fs::read_dir(&home).expect("reads").flatten().collect();
    assert!(written.is_empty(), "{written:?}");
    if !have_strace {
        crate::support::skipped::skipped(
            "a_start_calls_nobody_and_writes_nothing_outside_its_data (its calls)",
            "strace is not installed",
        );
        return;
    }
    let calls = std::fs::read_to_string(&traced).expect("a trace");
    let abroad: Vec<&str> = calls
        .lines()
        .filter(|line| line.contains("AF_INET") && !line.contains("127.0.0.1"))
        .collect();
    assert!(abroad.is_empty(), "{abroad:#?}");
}

#[test]
fn what_an_import_brings_is_served_without_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    draw(folder.path(), 4);
    // Loaded and not embedded: that is what the service does first.
    let mut load = import(folder.path());
    load.arg("--skip-embedding");
    imported(load);
    let mut service = Service::start(&folder.path().join("data"), &["--refresh-seconds", "1"]);
    service.until("four products", |service| {
        (found(service) == 4).then_some(())
    });
    let progress = service.until("all embedded", |service| {
        let report = service.get("/readyz").1;
        (report["catalog"]["embedded"] == 4).then_some(report)
    });
    assert_eq!(
        progress["catalog"],
        json!({"products": 4, "embedded": 4, "pending": 0, "without_picture": 0})
    );
    draw(folder.path(), 7);
    imported(import(folder.path()));
    service.until("seven products", |service| {
        (found(service) == 7).then_some(())
    });
    // And what is taken out is gone.
    draw(folder.path(), 2);
    let mut prune = import(folder.path());
    prune.args(["--prune", "--max-removed", "5"]);
    imported(prune);
    service.until("two products", |service| {
        (found(service) == 2).then_some(())
    });
    assert_eq!(service.get("/products/5").0, 404);
    service.end();
}

#[test]
fn a_request_leaves_one_line_with_its_id_and_trace() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut service = Service::start(
        &folder.path().join("data"),
        &["--public-url", "https://api.shop.example/"],
    );
    service.ready();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let url = format!("{}/attributes", service.url);
    let request = service
        .agent
        .get(&url)
        .header("x-request-id", "from-the-shop-7");
    let answer = request
        .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
        .call()
        .expect("answers");
    assert_eq!(answer.headers()["x-request-id"], "from-the-shop-7");
    assert_eq!(
        service.get("/openapi.json").1["servers"],
        json!([{"url": "https://api.shop.example"}])
    );
    service.end();
    let of_request: Vec<Value> = service
        .log()
        .into_iter()
        .filter(|line| line["span"]["request_id"] == "from-the-shop-7")
        .collect();
    let [line] = of_request.as_slice() else {
        panic!("{:#?}", service.log())
    };
    assert_eq!(
        (&line["message"], &line["status"], &line["level"]),
        (&json!("answered"), &json!(200), &json!("INFO"))
    );
    let span = &line["span"];
    assert_eq!(
        (&span["trace_id"], &span["route"], &span["method"]),
        (&json!(trace), &json!("/attributes"), &json!("GET"))
    );
    assert!(
        line["ms"].is_number() && line["timestamp"].is_string(),
        "{line}"
    );
}

/// A connection that has sent the head of an upload and half of its body.
fn half_sent(service: &Service, body: &[u8]) -> TcpStream {
    let mut stream =
        TcpStream::connect(service.url.trim_start_matches("http://")).expect("connects");
    let head = format!(
        "POST /search/image HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream
        .write_all(&[head.as_bytes(), &body[..body.len() / 2]].concat())
        .expect("sent");
    // In work once it is counted, beside the scrape itself.
    let metrics = format!("{}/metrics", service.admin);
    loop {
        let text = service
            .agent
            .get(&metrics)
            .call()
            .expect("answers")
            .into_body()
            .read_to_string()
            .expect("text");
        if text
            .lines()
            .any(|line| line == "aglet_http_requests_in_flight 2")
        {
            return stream;
        }
        std::thread::yield_now();
    }
}

fn read_to_end(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    // A connection that is cut may end with a reset.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn it_ends_when_what_is_in_work_is_answered_and_no_later_than_told() {
    let folder = tempfile::tempdir().expect("a folder");
    draw(folder.path(), 3);
    imported(import(folder.path()));
    let data = folder.path().join("data");
    let body = form(&[("image", &photo(1))]);
    let mut patient = Service::start(
        &data,
        &["--body-timeout-ms", "3600000", "--drain-seconds", "3600"],
    );
    patient.ready();
    let mut slow = half_sent(&patient, &body);
    patient.terminate();
    let address = patient.url.trim_start_matches("http://").to_owned();
    patient.until("no new connections", |_| {
        TcpStream::connect(&address).is_err().then_some(())
    });
    slow.write_all(&body[body.len() / 2..]).expect("sent");
    let answer = read_to_end(slow);
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("\"estimated_total\":3"),
        "{answer}"
    );
    assert!(patient.wait().success());

    let mut bounded = Service::start(
        &data,
        &["--body-timeout-ms", "3600000", "--drain-seconds", "0"],
    );
    bounded.ready();
    let stuck = half_sent(&bounded, &body);
    bounded.terminate();
    assert!(bounded.wait().success());
    assert!(!read_to_end(stuck).starts_with("HTTP/1.1 200"));

    // A second signal is for who does not want to wait; SIGHUP is no end.
    let mut hurried = Service::start(
        &data,
        &["--body-timeout-ms", "3600000", "--drain-seconds", "3600"],
    );
    hurried.ready();
    hurried.signal("HUP");
    hurried.until("SIGHUP is heard", |service| {
        service
            .has_logged("SIGHUP: the settings are read again")
            .then_some(())
    });
    let stuck = half_sent(&hurried, &body);
    hurried.terminate();
    hurried.until("the first signal is heard", |service| {
        service.has_logged("SIGTERM").then_some(())
    });
    hurried.terminate();
    assert!(hurried.wait().success());
    assert!(!read_to_end(stuck).starts_with("HTTP/1.1 200"));

    // A body that does not come is the client's fault, and does not keep the service from anything.
    let mut strict = Service::start(&data, &["--body-timeout-ms", "50"]);
    strict.ready();
    let late = read_to_end(half_sent(&strict, &body));
    assert!(
        late.starts_with("HTTP/1.1 408") && late.contains("\"code\":\"request_timeout\""),
        "{late}"
    );
    strict.end();
}

#[test]
fn told_to_stop_it_says_so_before_it_turns_connections_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut service = Service::start(&folder.path().join("data"), &["--stop-delay-ms", "5000"]);
    service.ready();
    service.terminate();
    service.until("no on its way out", |service| {
        (service.get("/readyz").0 == 503).then_some(())
    });
    let address = service.url.trim_start_matches("http://").to_owned();
    assert!(TcpStream::connect(&address).is_ok());
    assert!(service.wait().success());
    assert!(TcpStream::connect(&address).is_err());
}

#[test]
fn told_to_stop_while_it_starts_it_ends_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("a folder");
    // As if another process were at the schema: the start has to wait.
    let schema = std::fs::File::options()
        .create(true)
        .append(true)
        .open(data.join("migrate.lock"))
        .expect("a file");
    schema.lock().expect("free");
    let mut command = aglet("serve", &data);
    command
        .args(["--listen", "127.0.0.1:0", "--log-format", "json"])
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    let mut lines = BufReader::new(child.stderr.take().expect("piped"))
        .lines()
        .map_while(Result::ok);
    assert!(
        lines.any(|line| line.contains("\"message\":\"starting\"")),
        "signals are caught from then on"
    );
    let kill = format!("kill -TERM {}", child.id());
    assert!(
        Command::new("sh")
            .args(["-c", &kill])
            .status()
            .expect("sh")
            .success()
    );
    assert!(
        lines.any(|line| line.contains("\"message\":\"SIGTERM\"")),
        "it hears the signal"
    );
    drop(schema);
    assert!(child.wait().expect("ended").success());
    assert!(!lines.any(|line| line.contains("listening")));
}

/// Many of the largest pictures at once wait for each other or are turned away: what is decoded
/// stays within the bound, two of the largest pictures of 16 bytes a pixel, and so do the files.
#[test]
fn memory_is_bounded_whatever_is_sent() {
    const PIXELS: u64 = 4_000_000;
    const UPLOADS: u64 = 8 << 20;
    const SENDERS: usize = 24;
    let folder = tempfile::tempdir().expect("a folder");
    draw(folder.path(), 3);
    imported(import(folder.path()));
    let (pixels, uploads) = (PIXELS.to_string(), UPLOADS.to_string());
    let flags = [
        "--max-pixels",
        &pixels,
        "--max-upload-bytes",
        &uploads,
        "--max-body-bytes",
        "4194304",
    ];
    let mut service = Service::start(&folder.path().join("data"), &flags);
    service.ready();
    let url = format!("{}/search/image", service.url);
    let send = |bytes: &[u8]| {
        let request = service.agent.post(&url).header("content-type", FORM);
        let answer = request
            .send(form(&[("image", bytes)]).as_slice())
            .expect("answers");
        (
            answer.status().as_u16(),
            answer.headers().contains_key("retry-after"),
            json(answer),
        )
    };
    let deep = DynamicImage::ImageRgba16(image::ImageBuffer::from_fn(2_000, 2_000, |x, y| {
        image::Rgba(
            [x, y, x ^ y, 0xff00].map(|v| u16::try_from(v % 65_536).expect("16 bits") & 0xff00),
        )
    }));
    let gray = DynamicImage::ImageRgb8(RgbImage::from_fn(2_000, 2_000, |x, y| {
        Rgb([(10 * ((x / 40 + y / 40) % 25)).to_le_bytes()[0]; 3])
    }));
    let huge = [
        file(&deep, ImageFormat::Png),
        file(&gray, ImageFormat::Jpeg),
        file(&gray, ImageFormat::WebP),
    ];
    let large = file(&DynamicImage::new_rgb8(2_001, 2_000), ImageFormat::Png);
    assert!(
        huge.iter().all(|file| file.len() < 4 << 20),
        "{:?}",
        huge.each_ref().map(Vec::len)
    );
    // One small photo first: what the model itself takes is no part of the bound.
    assert_eq!(send(&photo(1)).0, 200);
    let before = service.peak_memory();

    let answers = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (send, huge, large, answers) = (&send, &huge, &large, &answers);
            scope.spawn(move || {
                for round in 0..3 {
                    let answer = send(&huge[(sender + round) % huge.len()]);
                    answers.lock().expect("no panic").push(answer);
                }
                let (status, _, problem) = send(large);
                assert!(status == 413 || status == 503, "{status} {problem}");
            });
        }
    });
    let answers = answers.into_inner().expect("no panic");
    let good = answers.iter().filter(|(status, ..)| *status == 200).count();
    for (status, retry, body) in answers.iter().filter(|(status, ..)| *status != 200) {
        assert_eq!(
            (*status, *retry, &body["code"]),
            (503, true, &json!("overloaded")),
            "{body}"
        );
    }
    eprintln!(
        "{good} of {} large photos answered, the others were turned away",
        answers.len()
    );
    assert!(good > 0);
    if let (Some(before), Some(after)) = (before, service.peak_memory()) {
        let bound = 2 * PIXELS * 16 + 2 * UPLOADS;
        let grown = after - before;
        eprintln!(
            "memory grew by {} MiB, the bound is {} MiB",
            grown >> 20,
            bound >> 20
        );
        // A decoded photo that was freed may stay with the allocator of the thread that had it.
        assert!(grown < bound + (64 << 20), "{grown} over {bound}");
    }
    assert_eq!(send(&photo(2)).0, 200, "and it serves on");
    service.end();
}

#[test]
fn the_health_command_says_what_readyz_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut service = Service::start(&folder.path().join("data"), &[]);
    service.ready();
    let health = |url: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_aglet"))
            .args(["health", url])
            .output()
            .expect("runs");
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    assert!(health(&service.url).0);
    service.end();
    let (healthy, why) = health(&service.url);
    assert!(!healthy && why.contains("no answer"), "{why}");
}

/// `.ci/image` builds and runs the images; that takes longer than a test may. What they set must be
/// settings, and the toolchain the project's.
#[test]
fn the_containers_set_what_there_is_to_set() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(project.join("Cargo.toml")).expect("Cargo.toml");
    let rust = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "))
        .expect("a version");
    for (file, device) in [("Dockerfile", "auto"), ("Dockerfile.cuda", "cuda")] {
        let text = std::fs::read_to_string(project.join("docker").join(file)).expect(file);
        assert!(
            text.contains(&format!("FROM rust:{}-", rust.trim_matches('"'))),
            "{file}"
        );
        let words = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .flat_map(str::split_whitespace);
        let set: Vec<(&str, &str)> = words
            .filter_map(|w| w.split_once('='))
            // What the build is told is no setting.
            .filter(|(n, _)| n.starts_with("AGLET_") && *n != "AGLET_COMMIT")
            .collect();
        assert!(set.len() >= 5, "{file}: {set:?}");
        let output = Command::new(env!("CARGO_BIN_EXE_aglet"))
            .args(["serve", "--check-config"])
            .env_remove("AGLET_CONFIG")
            .envs(set.iter().copied())
            .output()
            .expect("runs");
        let shown = String::from_utf8_lossy(&output.stdout);
        // The paths are those of the image, which this machine may lack.
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() || said.contains("would not start with these"),
            "{file}: {said}"
        );
        for (name, value) in set {
            let key = name.trim_start_matches("AGLET_").to_lowercase();
            assert!(
                shown
                    .lines()
                    .any(|line| line == format!("{key} = \"{value}\"")),
                "{file}: {name} in {shown}"
            );
        }
        assert!(shown.contains(&format!("device = \"{device}\"")), "{file}");
        // The build copies what the project has.
        for path in text
            .lines()
            .filter_map(|l| l.strip_prefix("COPY "))
            .filter(|l| !l.starts_with("--from"))
        {
            let from = path.split_whitespace().next().expect("a path");
            assert!(project.join(from).exists(), "{file}: {from}");
        }
    }
}
