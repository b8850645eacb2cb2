//! Pictures of a running service: uploaded, fetched from the web, found by a photo.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::support::multipart;
use crate::support::service::Service;

/// An image of one color with a stripe of another.
pub fn png(color: [u8; 3], stripe: [u8; 3]) -> Vec<u8> {
    let image = image::RgbImage::from_fn(64, 64, |x, _| {
        image::Rgb(if x % 16 < 8 { color } else { stripe })
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    image
        .write_to(&mut bytes, image::ImageFormat::Png)
        .expect("written");
    bytes.into_inner()
}

pub fn send(
    service: &Service,
    method: &str,
    path: &str,
    body: Option<(&str, &[u8])>,
    headers: &[(&str, &str)],
) -> (u16, Value) {
    let url = format!("{}{path}", service.url);
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = match body {
        Some((kind, bytes)) => {
            let request = request.header("content-type", kind);
            service
                .agent
                .run(request.body(bytes.to_vec()).expect("a request"))
        }
        None => service.agent.run(request.body(()).expect("a request")),
    };
    let mut answer = answer.expect("an answer");
    let text = answer.body_mut().read_to_string().expect("text");
    let value = serde_json::from_str(&text).unwrap_or(Value::Null);
    (answer.status().as_u16(), value)
}

pub fn put(service: &Service, path: &str, product: &Value) -> (u16, Value) {
    let body = product.to_string();
    send(
        service,
        "PUT",
        path,
        Some(("application/json", body.as_bytes())),
        &[],
    )
}

pub fn by_photo(service: &Service, photo: &[u8]) -> Value {
    let body = multipart::form(&[("image", photo)]);
    let form = Some((multipart::FORM, &body[..]));
    let (status, answer) = send(service, "POST", "/search/image", form, &[]);
    assert_eq!(status, 200, "{answer}");
    answer["hits"][0].clone()
}

pub fn embedded(service: &mut Service, id: &str, pictures: usize) {
    let path = format!("/products/{id}");
    service.until("its pictures", |service| {
        let (_, answer) = service.get(&path);
        let all = answer["pictures"].as_array()?;
        let embedded = all
            .iter()
            .filter(|picture| picture["embedding"]["status"] == "embedded");
        (embedded.count() == pictures).then_some(())
    });
}

#[test]
fn an_uploaded_picture_is_found_and_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut service = Service::start(&folder.path().join("data"), &[]).at_admin();
    service.ready();
    for (id, title) in [("a", "Hilltop Walker"), ("b", "Harbor Stroller")] {
        let path = format!("/products/{id}");
        assert_eq!(put(&service, &path, &json!({"title": title})).0, 201);
    }
    let (red, blue, green) = (
        png([200, 20, 20], [90, 0, 0]),
        png([20, 20, 200], [255, 255, 255]),
        png([20, 200, 20], [0, 0, 0]),
    );
    let upload =
        |path: &str, bytes: &[u8]| send(&service, "PUT", path, Some(("image/png", bytes)), &[]);
    for (path, bytes) in [
        ("/products/a/pictures/1", &red),
        ("/products/a/pictures/3", &blue),
        ("/products/b/pictures/1", &green),
    ] {
        let (status, answer) = upload(path, bytes);
        assert_eq!(
            (status, &answer["status"]),
            (200, &json!("changed")),
            "{answer}"
        );
    }
    assert_eq!(
        upload("/products/a/pictures/1", &red).1["status"],
        "unchanged"
    );
    // What is wrong with an upload is said.
    for (path, bytes, status, code) in [
        ("/products/a/pictures/0", &red[..], 400, "invalid_parameter"),
        ("/products/a/pictures/33", &red, 400, "invalid_parameter"),
        ("/products/a/pictures/x", &red, 400, "invalid_parameter"),
        ("/products/c/pictures/1", &red, 404, "product_not_found"),
        (
            "/products/a/pictures/2",
            b"words",
            415,
            "unsupported_image_format",
        ),
        ("/products/a/pictures/2", &red[..80], 422, "broken_image"),
    ] {
        let (got, answer) = upload(path, bytes);
        assert_eq!(
            (got, &answer["code"]),
            (status, &json!(code)),
            "{path}: {answer}"
        );
    }
    let stale = [("If-Match", "\"1\"")];
    let under = send(
        &service,
        "PUT",
        "/products/a/pictures/2",
        Some(("image/png", &red)),
        &stale,
    );
    assert_eq!(
        (under.0, &under.1["code"]),
        (412, &json!("precondition_failed"))
    );

    embedded(&mut service, "a", 2);
    embedded(&mut service, "b", 1);
    for (photo, id, picture) in [(&blue, "a", 3), (&red, "a", 1), (&green, "b", 1)] {
        let url = json!(format!("/products/{id}/pictures/{picture}"));
        let hit = service.until("its picture in the index", |service| {
            Some(by_photo(service, photo)).filter(|hit| hit["picture_url"] == url)
        });
        assert_eq!(hit["id"], id, "{hit}");
        assert_eq!(hit["product"]["image_url"], format!("/products/{id}/image"));
    }
    let url = format!("{}/products/a/pictures/3", service.url);
    let mut shown = service.agent.get(url).call().expect("an answer");
    assert_eq!(shown.headers()["content-type"], "image/png");
    assert_eq!(shown.body_mut().read_to_vec().expect("bytes"), blue);

    // Removed, it is not found any more; the others keep their numbers.
    let path = "/products/a/pictures/1?wait=searchable";
    let (status, answer) = send(&service, "DELETE", path, None, &[]);
    assert_eq!(
        (status, &answer["searchable"]),
        (200, &json!(true)),
        "{answer}"
    );
    assert_eq!(
        send(&service, "DELETE", path, None, &[]).1["code"],
        "image_not_found"
    );
    assert_eq!(
        service.get("/products/a/pictures/1").1["code"],
        "image_not_found"
    );
    let (_, answer) = service.get("/products/a");
    assert_eq!(
        answer["pictures"].as_array().map(Vec::len),
        Some(1),
        "{answer}"
    );
    let hit = by_photo(&service, &red);
    assert_ne!(hit["picture_url"], "/products/a/pictures/1", "{hit}");
    service.end();
}

/// Serves `/1.png`; `/gone.png` is 404 and `/busy.png` 503. Its port.
fn web(picture: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = stream;
            let mut head = [0; 4096];
            let read = stream.read(&mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..read]).into_owned();
            let (status, body) = match head.split(' ').nth(1) {
                Some("/1.png") => ("200 OK", &picture[..]),
                Some("/busy.png") => ("503 Service Unavailable", &[][..]),
                _ => ("404 Not Found", &[][..]),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(body);
        }
    });
    port
}

#[test]
fn a_picture_on_the_web_is_fetched_and_a_bad_one_costs_itself() {
    let blue = png([20, 20, 200], [255, 255, 255]);
    let host = format!("127.0.0.1:{}", web(blue.clone()));
    let folder = tempfile::tempdir().expect("a folder");
    let flags = ["--picture-hosts", host.as_str()];
    let mut service = Service::start(&folder.path().join("data"), &flags).at_admin();
    service.ready();
    let at = |name: &str| format!("http://{host}/{name}");
    let product =
        json!({"title": "Hilltop Walker", "images": [at("gone.png"), at("1.png"), at("busy.png")]});
    assert_eq!(put(&service, "/products/a", &product).0, 201);
    embedded(&mut service, "a", 1);
    let pictures = service.until("all were tried", |service| {
        let (_, answer) = service.get("/products/a");
        let waits = answer["pictures"].to_string().contains("waiting");
        (!waits).then(|| answer["pictures"].clone())
    });
    let status = |n: usize| pictures[n]["embedding"]["status"].clone();
    assert_eq!(
        [status(0), status(1), status(2)],
        ["failed", "embedded", "retrying"]
    );
    let reason = pictures[0]["embedding"]["reason"]
        .as_str()
        .expect("a reason");
    assert!(reason.contains("404"), "{pictures}");
    assert!(
        pictures[2]["embedding"]["next_try"].is_string(),
        "{pictures}"
    );
    assert_eq!(pictures[1]["url"], at("1.png"));
    service.until("the index", |service| {
        (by_photo(service, &blue)["picture_url"] == at("1.png")).then_some(())
    });
    let (_, found) = service.get("/search?q=walker");
    assert_eq!(found["hits"][0]["product"]["image_url"], at("1.png"));
    service.until("the queue", |service| {
        let (_, report) = service.get("/readyz");
        (report["embedding_queue"] == json!({"waiting": 0, "retrying": 1})).then_some(())
    });
    let (_, rows) = service.get("/products");
    assert_eq!(rows["images"], product["images"], "what came in comes out");

    // Another host is refused, and the field is named.
    let wrong = json!({"title": "A", "images": [at("1.png"), "http://127.0.0.2/1.png"]});
    let (code, answer) = put(&service, "/products/b", &wrong);
    assert_eq!(
        (code, &answer["field"]),
        (422, &json!("images[1]")),
        "{answer}"
    );
    let none = json!({"title": "Hilltop Walker", "images": []});
    assert_eq!(put(&service, "/products/a", &none).1["status"], "changed");
    assert_eq!(service.get("/products/a").1["pictures"], json!([]));
    service.end();
}
