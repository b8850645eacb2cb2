//! Pictures that several services share: in a bucket of a real server of S3, and in a folder.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use ureq::http::Response;

use crate::pictures::{by_photo, embedded, png, put, send};
use crate::support::postgres::Postgres;
use crate::support::s3::{S3, Way};
use crate::support::service::{Service, aglet};

/// Where the pictures are in the bucket.
const PICTURES: &str = "s3://shop/a/b";
/// Long enough for an upload to belong to a product.
const TWO_HOURS: u64 = 7_200;

fn red() -> Vec<u8> {
    png([200, 20, 20], [90, 0, 0])
}

fn blue() -> Vec<u8> {
    png([20, 20, 200], [255, 255, 255])
}

fn green() -> Vec<u8> {
    png([20, 200, 20], [0, 0, 0])
}

/// The name of a picture that is kept.
fn name(picture: &[u8]) -> String {
    let digits = aglet::util::digest::sha256_hex(picture);
    format!("{}/{digits}", &digits[..2])
}

/// A command that reaches a server of S3, and nothing of whoever runs the tests.
fn to_bucket(mut command: Command, endpoint: &str) -> Command {
    command
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_ACCESS_KEY_ID", "a")
        .env("AWS_SECRET_ACCESS_KEY", "s3cret")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ALLOW_HTTP", "true")
        .env_remove("AWS_SESSION_TOKEN")
        .env_remove("AWS_CA_BUNDLE");
    command
}

/// A service over pictures that are kept somewhere, asked at its admin listener.
fn start(data: &Path, database: &str, pictures: &str, endpoint: &str, flags: &[&str]) -> Service {
    let command = to_bucket(aglet("serve", data), endpoint);
    let place = ["--database", database, "--pictures", pictures];
    let mut service = Service::run(command, &[&place, flags].concat()).at_admin();
    service.ready();
    service
}

fn product(service: &Service, id: &str) {
    let path = format!("/products/{id}?wait=searchable");
    let product = json!({"title": format!("Walker {id}")});
    assert_eq!(put(service, &path, &product).0, 201);
}

fn upload(service: &Service, id: &str, number: u8, picture: &[u8]) -> (u16, Value) {
    let path = format!("/products/{id}/pictures/{number}");
    send(service, "PUT", &path, Some(("image/png", picture)), &[])
}

fn get(service: &Service, url: &str) -> Response<ureq::Body> {
    let url = if url.starts_with('/') {
        format!("{}{url}", service.url)
    } else {
        url.to_owned()
    };
    service.agent.get(url).call().expect("an answer")
}

fn bytes(answer: Response<ureq::Body>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut reader = answer.into_body().into_reader();
    reader.read_to_end(&mut bytes).expect("all of it");
    bytes
}

/// A picture is answered as it is, with the header of its kind.
fn shows(service: &Service, url: &str, picture: &[u8]) {
    let answer = get(service, url);
    assert_eq!(answer.status(), 200, "{url}");
    assert_eq!(answer.headers()["content-type"], "image/png", "{url}");
    assert!(bytes(answer) == picture, "{url}: other bytes");
}

/// That it cannot be had now.
fn is_away((status, answer): (u16, Value)) {
    assert_eq!(
        (status, &answer["code"]),
        (503, &json!("pictures_unavailable")),
        "{answer}"
    );
}

fn picture_is_away(service: &Service, url: &str) {
    let answer = get(service, url);
    assert!(answer.headers().contains_key("retry-after"));
    let status = answer.status().as_u16();
    is_away((
        status,
        serde_json::from_slice(&bytes(answer)).expect("JSON"),
    ));
}

/// The first hit, once one is there.
fn hit(service: &mut Service, words: &str) -> Value {
    let path = format!("/search?q={words}");
    service.until("a hit", |service| {
        let (_, answer) = service.get(&path);
        answer["hits"].get(0).cloned()
    })
}

/// Waits until the first hit shows its picture: a hit is what the index in use follows.
fn linked(service: &mut Service, words: &str, address: &str) {
    let path = format!("/search?q={words}");
    service.until("its picture", |service| {
        let (_, answer) = service.get(&path);
        (answer["hits"][0]["product"]["image_url"] == address).then_some(())
    });
}

fn said(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&all).into_owned()
}

fn gc(data: &Path, database: &str, pictures: &str, endpoint: &str) -> String {
    let mut gc = Command::new(env!("CARGO_BIN_EXE_aglet"));
    gc.args(["gc", "--keep-days", "0", "--database", database])
        .args(["--pictures", pictures, "--data"])
        .arg(data);
    let output = to_bucket(gc, endpoint).output().expect("runs");
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

/// Makes a catalog forget what it knows of its pictures, as if another service had to embed them.
fn forget(server: &Postgres) {
    for sql in [
        "WITH gone AS (DELETE FROM embeddings RETURNING 1) SELECT count(*) FROM gone",
        "WITH them AS (UPDATE pictures SET hash = NULL, stamp = NULL, decoded = 0 RETURNING 1)
         SELECT count(*) FROM them",
    ] {
        assert!(server.ask("shop", sql) > 0);
    }
}

#[test]
fn a_bucket_is_shared_by_services() {
    let test = "a_bucket_is_shared_by_services";
    let (Some(server), Some(s3)) = (Postgres::start(test), S3::start(test)) else {
        return;
    };
    s3.bucket("shop");
    let folder = tempfile::tempdir().expect("a folder");
    let data = |name: &str| folder.path().join(name);
    let database = server.database("shop");
    let mut one = start(&data("one"), &database, PICTURES, &s3.url(), &[]);
    product(&one, "a");
    let (status, answer) = upload(&one, "a", 1, &red());
    assert_eq!((status, &answer["status"]), (200, &json!("changed")));
    assert_eq!(s3.keys("shop"), [format!("a/b/{}", name(&red()))]);
    embedded(&mut one, "a", 1);
    let by_service = "/products/a/image";
    linked(&mut one, "walker", by_service);
    shows(&one, by_service, &red());
    one.kill();

    // Another service, on another folder, embeds and shows it.
    forget(&server);
    let mut two = start(&data("two"), &database, PICTURES, &s3.url(), &[]);
    embedded(&mut two, "a", 1);
    two.until("it is found", |service| {
        (by_photo(service, &red())["picture_url"] == "/products/a/pictures/1").then_some(())
    });
    shows(&two, "/products/a/pictures/1", &red());
    let answer = get(&two, by_service);
    let tag = answer.headers()["etag"].to_str().expect("text").to_owned();
    let again = two.agent.get(format!("{}{by_service}", two.url));
    let again = again.header("if-none-match", &tag).call();
    assert_eq!(again.expect("answers").status(), 304);
    two.end();
    for data in ["one", "two"] {
        assert!(!folder.path().join(data).join("uploads").exists());
    }

    // Addresses that lead past the service: signed ones ..
    let links = ["--picture-links", "presigned"];
    let mut signed = start(&data("two"), &database, PICTURES, &s3.url(), &links);
    let url = hit(&mut signed, "walker")["product"]["image_url"].clone();
    let url = url.as_str().expect("an address").to_owned();
    let object = format!("{}/shop/a/b/{}", s3.url(), name(&red()));
    let (bare, query) = url.split_once('?').expect("signed");
    assert_eq!(bare, object);
    assert!(
        query.contains("X-Amz-Signature=") && query.contains("X-Amz-Expires=3600"),
        "{url}"
    );
    shows(&signed, &url, &red());
    let headers = get(&signed, &url);
    let cached = headers.headers()["cache-control"].to_str().expect("text");
    assert!(cached.contains("immutable"), "{cached}");
    assert_eq!(get(&signed, bare).status(), 403, "it is not public");
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let (_, answer) = signed.get("/products/a");
    assert_eq!(answer["pictures"][0]["url"], json!(url), "the same again");
    assert_eq!(answer["product"]["image_url"], json!(url));
    assert_eq!(by_photo(&signed, &red())["picture_url"], json!(url));
    shows(&signed, by_service, &red());
    let (_, rows) = signed.get("/products");
    assert!(!rows.to_string().contains("X-Amz"), "{rows}");
    signed.end();

    // .. and public ones.
    s3.open("shop");
    let place = format!("{}/shop/a/b/", s3.url());
    let links = ["--picture-links", &place];
    let mut public = start(&data("two"), &database, PICTURES, &s3.url(), &links);
    let url = hit(&mut public, "walker")["product"]["image_url"].clone();
    assert_eq!(url, json!(object));
    shows(&public, &object, &red());
    shows(&public, by_service, &red());
    public.end();
}

#[test]
fn a_bucket_that_is_away_costs_pictures_alone_and_is_waited_for() {
    let test = "a_bucket_that_is_away_costs_pictures_alone_and_is_waited_for";
    let (Some(server), Some(s3)) = (Postgres::start(test), S3::start(test)) else {
        return;
    };
    s3.bucket("shop");
    let way = Way::to(s3.port());
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let database = server.database("shop");
    let mut service = start(&data, &database, PICTURES, &way.url(), &[]);
    product(&service, "a");
    assert_eq!(upload(&service, "a", 1, &red()).0, 200);
    embedded(&mut service, "a", 1);
    let version = service.get("/products/a").1["pictures"].clone();

    // One that takes connections and says nothing, and one that takes none.
    for hangs in [true, false] {
        if hangs {
            s3.hang();
        } else {
            way.cut();
        }
        picture_is_away(&service, "/products/a/pictures/1");
        is_away(upload(&service, "a", 2, &blue()));
        assert_eq!(service.get("/products/a").1["pictures"], version);
        assert_eq!(hit(&mut service, "walker")["id"], "a");
        if hangs {
            s3.go_on();
        }
    }
    service.end();

    // What waits to be embedded goes on to wait; words do not.
    way.mend();
    forget(&server);
    let work = "WITH put AS (INSERT INTO work (model, product, number)
                SELECT m.key, p.product, p.number FROM models m CROSS JOIN pictures p
                ON CONFLICT DO NOTHING RETURNING 1) SELECT count(*) FROM put";
    let mut service = start(&data, &database, PICTURES, &way.url(), &[]);
    embedded(&mut service, "a", 1);
    way.cut();
    forget(&server);
    assert_eq!(server.ask("shop", work), 1);
    product(&service, "b");
    service.until("it was tried", |service| {
        service
            .has_logged("pictures are embedded later")
            .then_some(())
    });
    service.until("the words of the other", |service| {
        let (_, answer) = service.get("/products/b");
        (answer["words"]["status"] == "embedded").then_some(())
    });
    let failed = "SELECT (SELECT count(*) FROM failures) + (SELECT count(*) FROM pictures
                  WHERE error IS NOT NULL) + (SELECT coalesce(max(attempts), 0) FROM work)";
    assert_eq!(server.ask("shop", failed), 0);
    let (_, answer) = service.get("/products/a");
    assert_eq!(
        answer["pictures"][0]["embedding"],
        json!({"status": "waiting"})
    );

    way.mend();
    let soon = "WITH soon AS (UPDATE work SET due = 0 RETURNING 1) SELECT count(*) FROM soon";
    assert_eq!(server.ask("shop", soon), 1);
    product(&service, "c");
    embedded(&mut service, "a", 1);
    shows(&service, "/products/a/pictures/1", &red());
    assert_eq!(upload(&service, "a", 2, &blue()).0, 200);
    service.end();
}

#[test]
fn what_nobody_needs_is_deleted_from_a_bucket_and_nothing_else() {
    let test = "what_nobody_needs_is_deleted_from_a_bucket_and_nothing_else";
    let (Some(server), Some(s3)) = (Postgres::start(test), S3::start(test)) else {
        return;
    };
    s3.bucket("shop");
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let database = server.database("shop");
    let service = start(&data, &database, PICTURES, &s3.url(), &[]);
    product(&service, "a");
    product(&service, "b");
    s3.age(TWO_HOURS);
    assert_eq!(upload(&service, "a", 1, &red()).0, 200);
    for picture in [blue(), green()] {
        assert_eq!(upload(&service, "b", 1, &picture).0, 200);
    }
    // Of others, or of another catalog.
    for key in ["a/b/photos/1.jpg", "a/bc/1.jpg", "other.txt"] {
        s3.put(&format!("shop/{key}"), "not ours");
    }
    let elsewhere = format!("c/{}", name(&blue()));
    s3.put(&format!("shop/{elsewhere}"), "of another catalog");
    // It comes again, and no product shows it yet.
    s3.age(0);
    assert_eq!(upload(&service, "b", 2, &blue()).0, 200);
    let (status, _) = send(&service, "DELETE", "/products/b", None, &[]);
    assert_eq!(status, 204);

    let deleted = gc(&data, &database, PICTURES, &s3.url());
    assert!(deleted.contains("deleted 1 pictures"), "{deleted}");
    let mut left = vec![
        format!("a/b/{}", name(&blue())),
        format!("a/b/{}", name(&red())),
        "a/b/photos/1.jpg".to_owned(),
        "a/bc/1.jpg".to_owned(),
        elsewhere,
        "other.txt".to_owned(),
    ];
    left.sort_unstable();
    assert_eq!(s3.keys("shop"), left);
    let again = gc(&data, &database, PICTURES, &s3.url());
    assert!(!again.contains("pictures that no product"), "{again}");
}

#[test]
fn an_import_puts_its_pictures_into_the_bucket() {
    let test = "an_import_puts_its_pictures_into_the_bucket";
    let (Some(server), Some(s3)) = (Postgres::start(test), S3::start(test)) else {
        return;
    };
    s3.bucket("shop");
    let folder = tempfile::tempdir().expect("a folder");
    let images = folder.path().join("images");
    std::fs::create_dir(&images).expect("made");
    std::fs::write(images.join("1.png"), red()).expect("written");
    std::fs::write(images.join("2.png"), blue()).expect("written");
    let file = folder.path().join("products.jsonl");
    let rows = |of_b: Value| {
        let rows = [
            json!({"id": "a", "title": "Walker", "images": ["1.png", "2.png"]}),
            json!({"id": "b", "title": "Stroller", "images": of_b}),
        ];
        let lines: Vec<String> = rows.iter().map(ToString::to_string).collect();
        std::fs::write(&file, lines.join("\n")).expect("written");
    };
    let database = server.database("shop");
    let data = folder.path().join("one");
    let import = |flags: &[&str]| {
        let mut import = to_bucket(aglet("import", &data), &s3.url());
        import.args(["--database", &database, "--pictures", PICTURES]);
        import.args(["--max-removed", "100%"]).args(flags);
        import.arg("--products").arg(&file).arg("--images");
        let output = import.arg(&images).output().expect("runs");
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    };
    rows(json!(["1.png"]));
    let first = import(&[]);
    assert!(first.contains("2 put where the catalog keeps"), "{first}");
    let mut keys = [red(), blue()].map(|picture| format!("a/b/{}", name(&picture)));
    keys.sort_unstable();
    assert_eq!(s3.keys("shop"), keys);
    let again = import(&[]);
    assert!(
        again.contains("2 unchanged") && !again.contains("put where"),
        "{again}"
    );
    assert!(again.contains("embedded  0 photos"), "{again}");
    // The file says which pictures there are, as it does of those that stay where they are.
    rows(json!([]));
    import(&[]);
    let of_b = "SELECT count(*) FROM pictures AS i JOIN products AS p ON i.product = p.key
                WHERE p.id = 'b'";
    assert_eq!(server.ask("shop", of_b), 0);
    rows(json!(["1.png"]));
    let stays = import(&["--upload-pictures=false"]);
    assert!(stays.contains("2 changed"), "{stays}");
    let kept = "SELECT count(*) FROM pictures WHERE root = 'uploads:import'";
    assert_eq!(server.ask("shop", kept), 0);
    import(&["--upload-pictures"]);
    assert_eq!(server.ask("shop", kept), 3);

    // Where the pictures came from is not needed any more.
    std::fs::remove_dir_all(&images).expect("removed");
    let mut two = start(
        &folder.path().join("two"),
        &database,
        PICTURES,
        &s3.url(),
        &[],
    );
    assert_eq!(hit(&mut two, "walker")["id"], "a");
    shows(&two, "/products/a/pictures/2", &blue());
    shows(&two, "/products/b/image", &red());
    two.end();
}

#[test]
fn what_is_wrong_with_a_bucket_is_said_at_the_start_and_by_the_doctor() {
    let test = "what_is_wrong_with_a_bucket_is_said_at_the_start_and_by_the_doctor";
    let Some(s3) = S3::start(test) else { return };
    s3.bucket("shop");
    let folder = tempfile::tempdir().expect("a folder");
    // The doctor looks into a folder that is there.
    std::fs::create_dir(folder.path().join("data")).expect("made");
    let run = |command: &str, pictures: &str, endpoint: &str, change: &dyn Fn(&mut Command)| {
        let aglet = aglet(command, &folder.path().join("data"));
        let mut aglet = to_bucket(aglet, endpoint);
        aglet.args(["--pictures", pictures]);
        if command == "serve" {
            aglet.args(["--listen", "127.0.0.1:0"]);
        }
        change(&mut aglet);
        let output = aglet.output().expect("runs");
        (output.status.success(), said(&output))
    };
    let nothing: &dyn Fn(&mut Command) = &|_| {};
    let no_key: &dyn Fn(&mut Command) = &|command| {
        command
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_SECRET_ACCESS_KEY")
            .env("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1");
    };
    let no_http: &dyn Fn(&mut Command) = &|command| {
        command.env_remove("AWS_ALLOW_HTTP");
    };
    let url = s3.url();
    for (pictures, endpoint, change, why) in [
        (
            "s3://none/a",
            &url[..],
            nothing,
            "there is no bucket \"none\"",
        ),
        (
            "s3://shop/a",
            &url,
            no_key,
            "there are no credentials: set AWS_ACCESS_KEY_ID",
        ),
        (
            "s3://shop/a",
            "http://127.0.0.1:1",
            nothing,
            "onnection refused",
        ),
        ("s3://shop/a", &url, no_http, "AWS_ALLOW_HTTP"),
    ] {
        for command in ["serve", "doctor"] {
            let (success, said) = run(command, pictures, endpoint, change);
            assert!(!success, "{said}");
            assert!(said.contains(why), "{why}: {said}");
            assert!(
                said.contains(pictures) && !said.contains("s3cret"),
                "{said}"
            );
        }
    }
    let (_, said) = run("doctor", "s3://shop/a", &url, nothing);
    assert!(said.contains("s3://shop/a answers"), "{said}");
    let gone = format!("file://{}", folder.path().join("gone").display());
    for command in ["serve", "doctor"] {
        let (success, said) = run(command, &gone, &url, nothing);
        assert!(!success && said.contains("No such file"), "{said}");
    }
}

#[test]
fn a_bucket_is_asked_by_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("made");
    let [certificate, key, other] =
        ["server.crt", "server.key", "other.crt"].map(|name| folder.path().join(name));
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("made");
    std::fs::write(&other, made.cert.pem()).expect("written");
    let Some(s3) = S3::start_secure("a_bucket_is_asked_by_tls", &certificate, &key) else {
        return;
    };
    std::fs::create_dir(folder.path().join("data")).expect("made");
    let doctor = |roots: Option<&Path>| {
        let aglet = aglet("doctor", &folder.path().join("data"));
        let mut aglet = to_bucket(aglet, &format!("https://localhost:{}", s3.port()));
        aglet.args(["--pictures", "s3://none"]);
        aglet.env_remove("AWS_ALLOW_HTTP");
        if let Some(roots) = roots {
            aglet.env("AWS_CA_BUNDLE", roots);
        }
        said(&aglet.output().expect("runs"))
    };
    let asked = doctor(Some(&certificate));
    assert!(asked.contains("there is no bucket \"none\""), "{asked}");
    for refused in [doctor(Some(&other)), doctor(None)] {
        assert!(refused.contains("certificate"), "{refused}");
    }
}

#[test]
fn a_folder_is_shared_by_services_and_waited_for() {
    let test = "a_folder_is_shared_by_services_and_waited_for";
    let Some(server) = Postgres::start(test) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let data = |name: &str| folder.path().join(name);
    let mount = data("pictures");
    std::fs::create_dir(&mount).expect("made");
    let pictures = format!("file://{}", mount.display());
    let database = server.database("shop");
    let nowhere = "http://127.0.0.1:1";
    let mut one = start(&data("one"), &database, &pictures, nowhere, &[]);
    product(&one, "a");
    product(&one, "b");
    assert_eq!(upload(&one, "a", 1, &red()).0, 200);
    assert_eq!(upload(&one, "b", 1, &green()).0, 200);
    embedded(&mut one, "a", 1);
    embedded(&mut one, "b", 1);
    one.kill();
    let file = |picture: &[u8]| mount.join(name(picture));
    assert_eq!(std::fs::read(file(&red())).expect("there"), red());

    forget(&server);
    let links = ["--picture-links", "https://cdn.shop.example"];
    let mut two = start(&data("two"), &database, &pictures, nowhere, &links);
    embedded(&mut two, "a", 1);
    embedded(&mut two, "b", 1);
    shows(&two, "/products/a/image", &red());
    let url = format!("https://cdn.shop.example/{}", name(&red()));
    linked(&mut two, "walker+a", &url);

    // It is not there, or only the place where it is mounted.
    let away = data("away");
    std::fs::rename(&mount, &away).expect("moved");
    for mounted in [false, true] {
        if mounted {
            std::fs::create_dir(&mount).expect("made");
        }
        picture_is_away(&two, "/products/a/image");
        is_away(upload(&two, "a", 2, &blue()));
    }
    assert_eq!(std::fs::read_dir(&mount).expect("there").count(), 0);
    forget(&server);
    let work = "WITH put AS (INSERT INTO work (model, product, number)
                SELECT m.key, p.product, p.number FROM models m CROSS JOIN pictures p
                ON CONFLICT DO NOTHING RETURNING 1) SELECT count(*) FROM put";
    assert_eq!(server.ask("shop", work), 2);
    product(&two, "c");
    two.until("it was tried", |two| {
        two.has_logged("pictures are embedded later").then_some(())
    });
    let failed = "SELECT (SELECT count(*) FROM failures) + (SELECT count(*) FROM pictures
                  WHERE error IS NOT NULL) + (SELECT coalesce(max(attempts), 0) FROM work)";
    assert_eq!(server.ask("shop", failed), 0);

    std::fs::remove_dir(&mount).expect("empty");
    std::fs::rename(&away, &mount).expect("moved");
    let soon = "WITH soon AS (UPDATE work SET due = 0 RETURNING 1) SELECT count(*) FROM soon";
    assert!(server.ask("shop", soon) > 0);
    product(&two, "d");
    embedded(&mut two, "a", 1);
    shows(&two, "/products/a/image", &red());
    assert_eq!(upload(&two, "a", 2, &blue()).0, 200);

    // What nobody shows goes when it is old; what is not of the catalog stays.
    assert_eq!(send(&two, "DELETE", "/products/b", None, &[]).0, 204);
    two.end();
    std::fs::create_dir(mount.join("shoes")).expect("made");
    let others = mount.join("shoes/1.jpg");
    std::fs::write(&others, "not ours").expect("written");
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(TWO_HOURS);
    for path in [&file(&red()), &file(&green()), &others] {
        let opened = std::fs::File::options().append(true).open(path);
        opened.expect("opens").set_modified(old).expect("set");
    }
    let deleted = gc(&data("one"), &database, &pictures, nowhere);
    assert!(deleted.contains("deleted 1 pictures"), "{deleted}");
    assert!(file(&red()).exists() && file(&blue()).exists() && others.exists());
    assert!(!file(&green()).exists());
}
