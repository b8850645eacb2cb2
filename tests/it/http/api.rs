//! Every route, through the router.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use aglet::domain::KnownAttributes;
use aglet::http::{ErrorCode, document, document_text, router};
use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{FORM, PRODUCTS, Server, Shop, form, ids, request};

#[tokio::test]
async fn words_find_products_best_first() {
    let shop = Shop::open().await;
    let answer = shop
        .get("/search?q=black+shoes&limit=5&cut=none")
        .await
        .ok();
    let hits = answer["hits"].as_array().expect("hits");
    assert_eq!(hits.len(), 5);
    let scores: Vec<f64> = hits
        .iter()
        .map(|hit| hit["score"].as_f64().expect("a number"))
        .collect();
    assert!(
        scores.is_sorted_by(|a, b| a >= b) && scores.iter().all(|s| (-1.0..=1.0).contains(s)),
        "{scores:?}"
    );
    assert_eq!(answer["estimated_total"], PRODUCTS.len());
    assert!(answer["took_ms"].as_f64().expect("a number") > 0.0);
    assert_eq!(
        answer["model"]["id"],
        shop.state.service.generation().encoder.model_id().as_str()
    );
    assert!(
        answer["index_version"]
            .as_str()
            .expect("text")
            .ends_with("-w30")
    );
    assert_eq!(
        answer["query"],
        json!({"q": "black shoes", "filters": {}, "limit": 5, "offset": 0})
    );
}

#[tokio::test]
async fn a_hit_shows_all_of_its_product() {
    let shop = Shop::open().await;
    let answer = shop
        .get("/search?q=x&category=Casual+Shoes&color=white")
        .await
        .ok();
    assert_eq!(ids(&answer), ["2"]);
    assert_eq!(
        answer["hits"][0]["product"],
        json!({
            "title": "Low Canvas Sneaker", "description": null, "brand": null, "category": "Casual Shoes", "color": "White",
            "gender": "Women", "shoelace_color": "beige", "price": 11.5, "sale_price": null, "currency": "EUR",
            "created": "2026-01-02T00:00:00Z", "url": "https://shop.example/1",
            "image_url": "/products/2/image",
            "attributes": {"category": ["Casual Shoes"], "color": ["White"], "gender": ["Women"], "shoelace_color": ["beige"]},
        })
    );
    assert_eq!(
        answer["query"]["filters"],
        json!({"category": ["casual shoes"], "color": ["white"]})
    );
}

#[tokio::test]
async fn filters_are_exact_in_every_way_to_ask() {
    let shop = Shop::open().await;
    let wanted = |category: &str, colors: &[&str]| -> Vec<&str> {
        let matching = PRODUCTS
            .iter()
            .filter(|p| p.2 == category && colors.contains(&p.3));
        matching.map(|p| p.0).collect()
    };
    let expected = wanted("Casual Shoes", &["Black", "Red"]);
    let picture = shop.picture("8");
    let answers = [
        shop.get("/search?q=shoe&category=casual%20shoes&color=Black&color=Red").await,
        shop.json("/search", &json!({"q": "shoe", "filters": {"category": "Casual Shoes", "color": ["black", "red"]}}))
            .await,
        shop.json("/search", &json!({"q": "shoe", "category": "Casual Shoes", "color": ["Black", "Red"]})).await,
        shop.json(
            "/search",
            &json!({"q": "shoe", "color": "Red", "filters": {"category": "Casual Shoes", "color": "Black"}}),
        )
        .await,
        shop.upload(&[("color", b"Black"), ("image", &picture), ("color", b"Red"), ("category", b"Casual Shoes")])
            .await,
        shop.get("/products/8/similar?category=Casual+Shoes&color=Black&color=Red").await,
    ];
    for answer in answers {
        let answer = answer.ok();
        let mut found = ids(&answer);
        found.sort_unstable();
        assert_eq!(found, expected);
        assert_eq!(answer["estimated_total"], expected.len());
    }
    let none = shop.get("/search?q=shoe&color=Mauve").await.ok();
    assert_eq!((ids(&none).len(), &none["estimated_total"]), (0, &json!(0)));
}

#[tokio::test]
async fn a_results_page_is_one_request() {
    let shop = Shop::open().await;
    let count = |color: &str| PRODUCTS.iter().filter(|p| p.3 == color).count();
    // Without words: all products, in the catalog's order.
    let all = shop
        .get("/search?limit=250&facets=color&color=Black")
        .await
        .ok();
    assert_eq!(all["estimated_total"], count("Black"));
    let values = all["facets"][0]["values"].as_array().expect("values");
    assert_eq!(all["facets"][0]["name"], "color");
    // Its own filter does not count for a facet.
    for value in values {
        let color = value["value"].as_str().expect("text");
        assert_eq!(value["count"], count(color), "{color}");
    }
    let of = |answer: Value| (answer["hits"].clone(), answer["facets"].clone());
    let page = "/search?q=black+shoes&cut=none&facets=color,category&facet_limit=2&limit=0";
    let (hits, facets) = of(shop.get(page).await.ok());
    assert_eq!(hits, json!([]));
    assert_eq!(facets.as_array().map(Vec::len), Some(2));
    assert_eq!(facets[0]["values"].as_array().map(Vec::len), Some(2));
    let body = json!({"q": "black shoes", "cut": "none", "facets": ["color", "category"],
                      "facet_limit": 2, "limit": 0});
    assert_eq!(
        of(shop.json("/search", &body).await.ok()),
        (hits, facets.clone())
    );
    // By photo and for similar products too.
    let picture = shop.picture("5");
    let by_photo = shop
        .upload(&[("image", &picture), ("facets", b"color")])
        .await
        .ok();
    assert_eq!(by_photo["facets"][0]["name"], "color");
    let similar = shop.get("/products/5/similar?facets=category").await.ok();
    assert_eq!(similar["facets"][0]["name"], "category");
}

/// A search in each of the ways to ask it, which must answer the same.
async fn all_ways(shop: &Shop, query: &str, body: &Value) -> Value {
    let of = |mut answer: Value| {
        answer["took_ms"] = Value::Null;
        answer
    };
    let get = of(shop.get(&format!("/search?{query}")).await.ok());
    assert_eq!(of(shop.json("/search", body).await.ok()), get, "{body}");
    get
}

#[tokio::test]
async fn prices_are_sorted_filtered_and_counted() {
    let shop = Shop::open().await;
    let query = "sort=-price&filter=price:11..14&facets=price&facet_ranges=price:..12&facet_ranges=price:13..";
    let body = json!({"sort": ["price:desc"], "filters": {"price": {"from": 11, "to": 14}}, "facets": ["price"],
                      "facet_ranges": ["price:..12", "price:13.."]});
    let answer = all_ways(&shop, query, &body).await;
    let prices: Vec<f64> = answer["hits"]
        .as_array()
        .expect("hits")
        .iter()
        .map(|hit| hit["product"]["price"].as_f64().expect("a price"))
        .collect();
    assert_eq!(prices, [13.5, 12.5, 11.5]);
    assert_eq!(answer["estimated_total"], 3);
    let least = 10.5;
    let greatest = 10.5 + f64::from(u8::try_from(PRODUCTS.len() - 1).expect("few"));
    // Its own filter does not count for a facet.
    let expected = json!({"name": "price", "type": "number", "values": [], "distinct": 0, "min": least, "max": greatest,
                          "ranges": [{"to": 12.0, "count": 2}, {"from": 13.0, "count": PRODUCTS.len() - 3}]});
    assert_eq!(answer["facets"][0], expected);
    assert_eq!(answer["query"]["filters"], json!({"price": ["11..14"]}));
    assert_eq!(answer["query"]["sort"], json!(["price:desc"]));
    // What is paid now, then the newest.
    let answer = all_ways(
        &shop,
        "sort=current_price&sort=created:desc&limit=3",
        &json!({"sort": ["current_price:asc", "-created"], "limit": 3}),
    )
    .await;
    let on_sale: Vec<_> = (0..PRODUCTS.len())
        .filter(|number| number % 4 == 0)
        .rev()
        .collect();
    let expected: Vec<&str> = on_sale
        .iter()
        .map(|number| PRODUCTS[*number].0)
        .take(3)
        .collect();
    assert_eq!(ids(&answer), expected);
    // Not, missing, dates.
    let answer = all_ways(
        &shop,
        "filter=-color:Black&filter=-sale_price:*&filter=created:2026-01-02..2026-01-06&limit=250",
        &json!({"filters": {"color": {"not": "Black"}, "sale_price": {"exists": false},
                            "created": {"from": "2026-01-02", "to": "2026-01-06"}}, "limit": 250}),
    )
    .await;
    let expected = (1..=5)
        .filter(|number| number % 4 != 0 && PRODUCTS[*number].3 != "Black")
        .map(|number| PRODUCTS[number].0);
    assert_eq!(ids(&answer), expected.collect::<Vec<_>>());
    assert_eq!(
        answer["query"]["excluded_values"],
        json!({"color": ["black"], "sale_price": ["*"]})
    );
    // By photo: those that are near, and all of them when asked.
    let picture = shop.picture("5");
    let near = shop
        .upload(&[("image", &picture), ("sort", b"price"), ("limit", b"250")])
        .await
        .ok();
    let all = shop
        .upload(&[
            ("image", &picture),
            ("sort", b"price"),
            ("cut", b"none"),
            ("limit", b"250"),
        ])
        .await
        .ok();
    assert_eq!(all["estimated_total"], PRODUCTS.len());
    assert!(ids(&near).len() < PRODUCTS.len() && ids(&near).contains(&"5"));
}

#[tokio::test]
async fn products_are_grouped_put_off_and_explained() {
    let shop = Shop::open().await;
    let answer = all_ways(
        &shop,
        "group_by=color&facets=gender&limit=250",
        &json!({"group_by": "color", "facets": ["gender"], "limit": 250}),
    )
    .await;
    let colors: std::collections::BTreeSet<&str> = PRODUCTS.iter().map(|p| p.3).collect();
    assert_eq!(answer["estimated_total"], colors.len());
    let mut in_groups = 0;
    for hit in answer["hits"].as_array().expect("hits") {
        assert_eq!(hit["group"]["value"], hit["product"]["color"]);
        in_groups += hit["group"]["products"].as_u64().expect("a number");
    }
    assert_eq!(in_groups, PRODUCTS.len() as u64);
    for value in answer["facets"][0]["values"].as_array().expect("values") {
        let gender = value["value"].as_str().expect("text");
        let of = PRODUCTS.iter().filter(|p| p.4 == gender).map(|p| p.3);
        let groups: std::collections::BTreeSet<&str> = of.collect();
        assert_eq!(value["count"], groups.len(), "{gender}");
    }
    let query = "q=black+shoes&explain=true&words_weight=1&cut=none&limit=250";
    let body = json!({"q": "black shoes", "explain": true, "words_weight": 1, "cut": "none", "limit": 250});
    let answer = all_ways(&shop, query, &body).await;
    for hit in answer["hits"].as_array().expect("hits") {
        let why = &hit["explanation"];
        let number = |of: &Value| of.as_f64().expect("a number");
        assert!(
            (number(&why["coverage"]) - number(&hit["score"])).abs() < 1e-6,
            "{hit}"
        );
        let parts = why["parts"].as_array().map_or(&[][..], Vec::as_slice);
        let covered: f64 = parts
            .iter()
            .map(|part| number(&part["weight"]) * number(&part["strength"]))
            .sum();
        assert!((covered - number(&why["coverage"])).abs() < 2e-3, "{hit}");
        assert!(why["cosine"].is_number() && why["nearness"].is_number());
    }
    let plain = shop.get("/search?q=black+shoes").await.ok();
    assert!(
        plain["hits"][0].get("explanation").is_none() && plain["hits"][0].get("group").is_none()
    );
    let picture = shop.picture("5");
    let photo = shop
        .upload(&[
            ("image", &picture),
            ("explain", b"true"),
            ("diversify", b"0.5"),
        ])
        .await
        .ok();
    assert!(photo["hits"][0]["explanation"]["votes"].is_number());
    // Of a facet with many values those that begin so.
    let answer = all_ways(
        &shop,
        "facet_query=color:bl",
        &json!({"facet_query": ["color:bl"]}),
    )
    .await;
    let values = answer["facets"][0]["values"].as_array().expect("values");
    assert!(!values.is_empty());
    for value in values {
        assert!(value["value"].as_str().expect("text").starts_with("Bl"));
    }
}

#[tokio::test]
async fn what_cannot_be_sorted_grouped_or_filtered_is_refused() {
    let shop = Shop::open().await;
    for (query, code, parameter) in [
        ("sort=prize", "unknown_attribute", "prize"),
        ("sort=price:up", "invalid_parameter", "sort"),
        ("sort=a,b,c,d,e,f", "invalid_parameter", "sort"),
        ("group_by=price", "invalid_parameter", "group_by"),
        ("group_by=stile", "unknown_attribute", "stile"),
        ("group_by=a&group_by=b", "repeated_parameter", "group_by"),
        ("filter=color", "invalid_parameter", "filter"),
        ("filter=colour:Red", "unknown_attribute", "colour"),
        ("filter=color:1..2", "invalid_parameter", "color"),
        ("filter=price:9..1", "invalid_parameter", "price"),
        ("filter=price:2026-01-01..", "invalid_parameter", "price"),
        ("price=cheap", "invalid_parameter", "price"),
        ("filter=created:5..", "invalid_parameter", "created"),
        ("diversify=2", "invalid_parameter", "diversify"),
        ("q=x&words_weight=-1", "invalid_parameter", "words_weight"),
        ("explain=yes", "invalid_parameter", "explain"),
        ("facet_query=color", "invalid_parameter", "facet_query"),
        ("facet_ranges=price", "invalid_parameter", "facet_ranges"),
        ("facet_ranges=color:1..2", "invalid_parameter", "color"),
    ] {
        let answer = shop.get(&format!("/search?{query}")).await;
        assert_eq!(answer.problem(), (400, code.to_owned()), "{query}");
        let problem: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(problem["parameter"], parameter, "{query}");
    }
}

#[tokio::test]
async fn slips_are_corrected_and_said_so() {
    let shop = Shop::open().await;
    let answer = shop.get("/search?q=snaeker").await.ok();
    assert_eq!(answer["query"]["corrected"], "sneaker");
    assert!(!ids(&answer).is_empty());
    let plain = shop.get("/search?q=snaeker&typo=false").await.ok();
    assert!(plain["query"]["corrected"].is_null());
    let vector = shop.get("/search?q=snaeker&mode=vector").await.ok();
    assert_eq!(vector["estimated_total"], PRODUCTS.len());
    let nothing = shop.get("/search?q=qwxz+zzyx&mode=lexical").await.ok();
    assert_eq!(nothing["estimated_total"], 0);
}

#[tokio::test]
async fn pages_fit_together() {
    let shop = Shop::open().await;
    let all = shop.get("/search?q=boots&limit=250&cut=none").await.ok();
    let first = shop
        .json("/search", &json!({"q": "boots", "limit": 4, "cut": "none"}))
        .await
        .ok();
    let second = shop
        .get("/search?q=boots&limit=250&offset=4&cut=none")
        .await
        .ok();
    assert_eq!([ids(&first), ids(&second)].concat(), ids(&all));
    assert_eq!(ids(&all).len(), PRODUCTS.len());
    assert_eq!(
        ids(&shop.get("/search?q=boots&offset=10000").await.ok()).len(),
        0
    );
}

#[tokio::test]
async fn a_photo_finds_products() {
    let shop = Shop::open().await;
    let answer = shop
        .upload(&[
            ("image", &shop.picture("5")),
            ("limit", b"3"),
            ("offset", b"1"),
        ])
        .await
        .ok();
    assert_eq!(ids(&answer).len(), 3);
    let bytes = shop.picture("5").len();
    assert_eq!(
        answer["query"],
        json!({"image_bytes": bytes, "filters": {}, "limit": 3, "offset": 1})
    );
}

#[tokio::test]
async fn what_is_excluded_does_not_come() {
    let shop = Shop::open().await;
    let picture = shop.picture("5");
    let excluded = json!(["5", "a/b c", "of another shop"]);
    for answer in [
        shop.upload(&[
            ("exclude", b"5"),
            ("image", &picture),
            ("exclude", b"a/b c"),
            ("exclude", b"of another shop"),
        ])
        .await,
        shop.get("/search?q=boots&cut=none&exclude=5&exclude=a%2Fb+c&exclude=of+another+shop")
            .await,
        shop.json(
            "/search",
            &json!({"q": "boots", "exclude": excluded, "cut": "none"}),
        )
        .await,
    ] {
        let answer = answer.ok();
        assert_eq!(ids(&answer).len(), PRODUCTS.len() - 2);
        assert!(!ids(&answer).iter().any(|id| ["5", "a/b c"].contains(id)));
        assert_eq!(
            (&answer["estimated_total"], &answer["query"]["exclude"]),
            (&json!(PRODUCTS.len() - 2), &excluded)
        );
    }
    let answer = shop.get("/products/5/similar?exclude=a%2Fb+c").await.ok();
    assert_eq!(ids(&answer).len(), PRODUCTS.len() - 2);
}

#[tokio::test]
async fn similar_products_leave_the_product_itself_out() {
    let shop = Shop::open().await;
    let answer = shop.get("/products/a%2Fb%20c/similar?limit=250").await.ok();
    assert_eq!(ids(&answer).len(), PRODUCTS.len() - 1);
    assert!(!ids(&answer).contains(&"a/b c"));
    assert_eq!(answer["query"]["similar_to"], "a/b c");
    // One that has no picture is compared by its words.
    assert_eq!(
        ids(&shop.get("/products/no-picture/similar").await.ok()).len(),
        PRODUCTS.len() - 1
    );
}

#[tokio::test]
async fn a_product_and_its_picture() {
    let shop = Shop::open().await;
    let product = shop.get("/products/a%2Fb%20c").await.ok();
    assert_eq!(
        (&product["id"], &product["product"]["title"]),
        (&json!("a/b c"), &json!("Chelsea Boot"))
    );
    let url = product["product"]["image_url"]
        .as_str()
        .expect("a picture")
        .to_owned();
    let picture = shop.get(&url).await;
    assert_eq!(picture.body, shop.picture("a-b-c"));
    assert_eq!(picture.headers[header::CONTENT_TYPE], "image/png");
    assert_eq!(picture.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert_eq!(
        picture.headers[header::CACHE_CONTROL],
        "public, max-age=3600"
    );
    let tag = picture.headers[header::ETAG].to_str().expect("text");
    let again = shop
        .call(request(
            Method::GET,
            &url,
            &[("if-none-match", tag)],
            Body::empty(),
        ))
        .await;
    assert_eq!(
        (again.status, again.body.len()),
        (StatusCode::NOT_MODIFIED, 0)
    );
    assert_eq!(again.headers[header::ETAG], tag);
    let head = shop
        .call(request(Method::HEAD, &url, &[], Body::empty()))
        .await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    assert_eq!(
        head.headers[header::CONTENT_LENGTH],
        picture.body.len().to_string().as_str()
    );
}

#[tokio::test]
async fn attributes_list_what_can_be_filtered_by() {
    let shop = Shop::open().await;
    let answer = shop.get("/attributes").await.ok();
    let facets = answer["attributes"].as_array().expect("a list");
    let names: Vec<&str> = facets
        .iter()
        .map(|f| f["name"].as_str().expect("text"))
        .collect();
    // The fields that products have come after their attributes.
    let fields = ["created", "current_price", "price", "sale_price"];
    assert_eq!(
        names,
        [
            &["category", "color", "gender", "shoelace_color"][..],
            &fields
        ]
        .concat()
    );
    let kinds: Vec<&str> = facets
        .iter()
        .map(|f| f["type"].as_str().expect("text"))
        .collect();
    assert_eq!(
        kinds,
        [
            "text", "text", "text", "text", "date", "number", "number", "number"
        ]
    );
    assert_eq!(
        (&facets[6]["min"], &facets[6]["values"]),
        (&json!(10.5), &json!([]))
    );
    assert_eq!(facets[0]["distinct"], 5);
    assert_eq!(
        facets[1]["values"][0],
        json!({"value": "Black", "count": 3})
    );
    let short = shop.get("/attributes?values=1").await.ok();
    assert!(
        short["attributes"]
            .as_array()
            .expect("a list")
            .iter()
            .all(|f| f["values"].as_array().expect("values").len()
                == usize::from(f["type"] == "text"))
    );
}

#[tokio::test]
async fn readiness_tells_what_is_in_use() {
    let shop = Shop::open().await;
    let report = shop.get("/readyz").await.ok();
    assert_eq!(
        (&report["ready"], &report["provider"]),
        (&json!(true), &json!("cpu"))
    );
    assert!(report["embedding_ms"].as_f64().expect("a number") > 0.0);
    assert_eq!(report["products"], PRODUCTS.len());
    assert_eq!(
        report["catalog"],
        json!({"products": 11, "embedded": 10, "pending": 0, "without_picture": 1})
    );
    assert_eq!(
        report["embedding_queue"],
        json!({"waiting": 0, "retrying": 0})
    );
    let alive = shop.get("/livez").await;
    assert_eq!(
        (&alive.body[..], alive.headers.get("connection")),
        (&b"ok\n"[..], None)
    );
    // A stopping service says so, and still answers.
    shop.state.service.set_stopping();
    let answer = shop.get("/readyz").await;
    assert_eq!(answer.problem(), (503, "not_ready".to_owned()));
    let problem: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(
        problem["readiness"]["reasons"],
        json!(["the service is stopping"])
    );
    let found = shop.get("/search?q=x").await;
    assert_eq!(found.headers["connection"], "close");
    found.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_model_leaves_it_ready() {
    let shop = Shop::open().await;
    shop.get("/readyz").await.ok();
    let picture = RgbImage::from_fn(1_500, 1_500, |x, y| {
        Rgb([x, y, x ^ y].map(|value| value.to_le_bytes()[0]))
    });
    let mut file = Cursor::new(Vec::new());
    picture
        .write_to(&mut file, ImageFormat::Png)
        .expect("encodes");
    let body = form(&[("image", file.get_ref())]);
    let mut uploads = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let kind = [(header::CONTENT_TYPE.as_str(), FORM)];
        let upload = request(
            Method::POST,
            "/search/image",
            &kind,
            Body::from(body.clone()),
        );
        uploads.spawn(shop.router.clone().oneshot(upload));
    }
    let mut reports = 0;
    while !uploads.is_empty() {
        shop.get("/readyz").await.ok();
        reports += 1;
        while let Some(answer) = uploads.try_join_next() {
            let status = answer.expect("no panic").expect("infallible").status();
            // More than can be answered in time is refused, which is not a fault either.
            assert!(status == 200 || status == 503, "{status}");
        }
    }
    assert!(reports > 1);
}

#[tokio::test]
async fn metrics_count_by_route_and_not_by_path() {
    let shop = Shop::admin().await;
    shop.get("/products/5").await.ok();
    shop.get("/products/none-such").await;
    shop.get("/no/such/path").await;
    let answer = shop.get("/metrics").await;
    let text = String::from_utf8(answer.body).expect("text");
    assert!(
        answer.headers[header::CONTENT_TYPE]
            .to_str()
            .expect("text")
            .starts_with("text/plain; version=0.0.4")
    );
    for line in [
        r#"aglet_http_requests_total{method="GET",route="/products/{id}",status="200"}"#,
        r#"aglet_http_requests_total{method="GET",route="/products/{id}",status="404"}"#,
        r#"aglet_http_requests_total{method="GET",route="unmatched",status="404"}"#,
        r#"aglet_http_request_duration_seconds_bucket{method="GET",route="/products/{id}""#,
        "aglet_http_requests_in_flight",
        r#"aglet_execution_provider{provider="cpu",fallback="false"} 1"#,
        format!("aglet_indexed_products {}", PRODUCTS.len()).as_str(),
        "aglet_pending_products 0",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("none-such") && !text.contains("no/such"));
}

#[tokio::test]
async fn the_page_and_the_documentation_come_from_the_binary() {
    let shop = Shop::open().await;
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/page/app.js", "text/javascript; charset=utf-8"),
        ("/page/address.js", "text/javascript; charset=utf-8"),
        ("/page/cards.js", "text/javascript; charset=utf-8"),
        ("/page/dom.js", "text/javascript; charset=utf-8"),
        ("/page/facets.js", "text/javascript; charset=utf-8"),
        ("/page/photo.js", "text/javascript; charset=utf-8"),
        ("/page/request.js", "text/javascript; charset=utf-8"),
        ("/page/style.css", "text/css; charset=utf-8"),
        ("/page/icon.svg", "image/svg+xml"),
    ] {
        let file = shop.get(path).await;
        assert_eq!(
            (file.status, &file.headers[header::CONTENT_TYPE]),
            (StatusCode::OK, &kind.parse().expect("a header"))
        );
        let policy = file.headers[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .expect("text");
        assert!(
            policy.contains("default-src 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        let tag = file.headers[header::ETAG].to_str().expect("text");
        let again = shop
            .call(request(
                Method::GET,
                path,
                &[("if-none-match", tag)],
                Body::empty(),
            ))
            .await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED);
        let text = String::from_utf8(file.body).expect("text");
        assert!(
            !text.contains("src=\"http") && !text.contains("//cdn") && !text.contains("<script>"),
            "{path}"
        );
    }
    assert!(shop.get("/docs").await.status.is_redirection());
    let docs = shop.get("/docs/").await;
    let text = String::from_utf8(docs.body).expect("text");
    assert!(
        text.contains("swagger-ui") && !text.contains("http"),
        "{text}"
    );
    assert!(shop.get("/docs/swagger-ui-bundle.js").await.body.len() > 100_000);
    let setup =
        String::from_utf8(shop.get("/docs/swagger-initializer.js").await.body).expect("text");
    assert!(setup.contains("/openapi.json"), "{setup}");
}

#[test]
fn the_committed_document_is_the_one_that_is_served() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/openapi.json");
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let current = document_text().expect("serializes");
    assert!(
        committed == current,
        "openapi/openapi.json is not what the routes say: run `make openapi`"
    );
}

#[tokio::test]
async fn every_route_of_the_document_answers() {
    let mut shop = Shop::admin().await;
    let (reloads, mut asked) = tokio::sync::mpsc::channel(1);
    shop.router = router(shop.state.clone().with_reloads(reloads));
    tokio::spawn(async move {
        let answer: tokio::sync::oneshot::Sender<_> = asked.recv().await.expect("asked");
        answer
            .send(Ok(aglet::config::Reloaded::default()))
            .expect("waits");
    });
    let send = async |method: Method, path: &str, kind: &str, body: &'static str| {
        let kind = (header::CONTENT_TYPE.as_str(), kind);
        shop.call(request(method, path, &[kind], Body::from(body)))
            .await
    };
    let document = serde_json::to_value(document(&KnownAttributes::default())).expect("serializes");
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("operations").keys() {
            let sample = match (method.as_str(), path.as_str()) {
                ("post", "/search") => shop.json("/search", &json!({"q": "boots"})).await,
                ("post", "/search/image") => shop.upload(&[("image", &shop.picture("1"))]).await,
                ("post", "/products:bulk") => {
                    let line = "{\"id\": 2, \"title\": \"Low\"}\n";
                    send(Method::POST, path, "application/x-ndjson", line).await
                }
                ("put", "/products/{id}") => {
                    let product = "{\"title\": \"High\"}";
                    send(Method::PUT, "/products/3", "application/json", product).await
                }
                ("patch", "/products/{id}") => {
                    let kind = "application/merge-patch+json";
                    send(Method::PATCH, "/products/4", kind, "{\"price\": 5}").await
                }
                ("put", "/products/{id}/pictures/{number}") => {
                    let kind = (header::CONTENT_TYPE.as_str(), "image/png");
                    let file = Body::from(shop.picture("1"));
                    let path = "/products/5/pictures/2";
                    shop.call(request(Method::PUT, path, &[kind], file)).await
                }
                ("delete", "/products/{id}/pictures/{number}") => {
                    send(Method::DELETE, "/products/6/pictures/1", "", "").await
                }
                ("delete", "/products/{id}") => {
                    send(Method::DELETE, "/products/no-picture", "", "").await
                }
                ("get", "/search") => shop.get("/search?q=boots").await,
                ("delete", "/admin/model") => send(Method::DELETE, path, "", "").await,
                ("post", "/admin/model") => {
                    let answer = shop.json(path, &json!({"model": "none"})).await;
                    assert_eq!(answer.problem().0, 400, "there is one model alone");
                    continue;
                }
                ("post", "/admin/model/rollback") => {
                    let answer = send(Method::POST, path, "", "").await;
                    assert_eq!(answer.problem().0, 409, "there is one model alone");
                    continue;
                }
                ("post", "/admin/reload") => send(Method::POST, path, "", "").await,
                ("post", "/admin/keys") => {
                    // Closed to whoever has none once it is made; so by another service.
                    let answer = Shop::admin().await;
                    answer
                        .json(path, &json!({"name": "A", "scope": "search"}))
                        .await
                }
                ("delete", "/admin/keys/{id}") => {
                    let other = Shop::admin().await;
                    let key = json!({"name": "A", "scope": "admin"});
                    let made = other.json("/admin/keys", &key).await;
                    let made: Value = serde_json::from_slice(&made.body).expect("JSON");
                    let bearer = format!("Bearer {}", made["key"].as_str().expect("a key"));
                    let path = path.replace("{id}", made["id"].as_str().expect("an id"));
                    let headers = [(header::AUTHORIZATION.as_str(), bearer.as_str())];
                    other
                        .call(request(Method::DELETE, &path, &headers, Body::empty()))
                        .await
                }
                ("get", path) => {
                    let path = path.replace("{id}", "1").replace("{number}", "1");
                    shop.get(&path.replace("{code}", "internal")).await
                }
                other => panic!("no sample for {other:?}"),
            };
            let answered = match (method.as_str(), path.as_str()) {
                ("post", "/admin/keys") => 201,
                ("delete", path) if path.starts_with("/products") => 204,
                _ => 200,
            };
            assert_eq!(sample.status, answered, "{method} {path}");
            assert!(
                item[method]["operationId"].is_string() && item[method]["summary"].is_string(),
                "{method} {path}"
            );
            // Each status by its number, with what comes with it.
            let responses = item[method]["responses"].as_object().expect("responses");
            for (status, response) in responses {
                assert!(status.parse::<u16>().is_ok(), "{method} {path} {status}");
                let empty = ["204", "304", "307"].contains(&status.as_str());
                let has_content = response["content"].is_object() || empty;
                assert!(has_content, "{method} {path} {status}");
            }
            assert!(responses.contains_key("500"), "{method} {path}");
        }
    }
    assert_eq!(shop.get("/openapi.json").await.ok(), document);
}

#[tokio::test]
async fn every_code_is_documented() {
    let shop = Shop::open().await;
    let document = document_text().expect("serializes");
    let document: Value = serde_json::from_str(&document).expect("JSON");
    let listed = document["components"]["schemas"]["ErrorCode"]["enum"]
        .as_array()
        .expect("the codes")
        .clone();
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md"))
        .expect("docs/api.md");
    for code in ErrorCode::ALL {
        assert!(listed.contains(&json!(code.as_str())), "{code:?}");
        let row = format!("| `{}` | {} |", code.as_str(), code.status().as_u16());
        assert!(page.contains(&row), "docs/api.md has no row {row}");
        let told = shop.get(&format!("/problems/{}", code.as_str())).await.ok();
        assert_eq!(
            (&told["code"], &told["status"]),
            (&json!(code.as_str()), &json!(code.status().as_u16()))
        );
    }
    assert_eq!(listed.len(), ErrorCode::ALL.len());
}

#[tokio::test]
async fn addresses_carry_the_public_one() {
    let options = aglet::http::HttpOptions {
        public_url: "https://api.example".to_owned(),
        ..Default::default()
    };
    let shop = Shop::with(options).await;
    assert_eq!(
        shop.get("/products/1").await.ok()["product"]["image_url"],
        "https://api.example/products/1/image"
    );
    let hits = shop
        .get("/search?q=boots&limit=1&category=Boots")
        .await
        .ok();
    let url = hits["hits"][0]["product"]["image_url"]
        .as_str()
        .expect("a picture")
        .to_owned();
    assert!(url.starts_with("https://api.example/products/"), "{url}");
    assert_eq!(
        shop.get("/openapi.json").await.ok()["servers"],
        json!([{"url": "https://api.example"}])
    );
}

#[tokio::test]
async fn a_real_client_over_a_real_socket() {
    let shop = Shop::open().await;
    let server = Server::start(shop.router.clone()).await;
    let base = server.url.clone();
    let picture = shop.picture("3");
    let client = tokio::task::spawn_blocking(move || {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let found = agent
            .get(format!("{base}/search?q=red+sneaker&limit=2&cut=none"))
            .call()
            .expect("answers");
        let found: Value = serde_json::from_reader(found.into_body().into_reader()).expect("JSON");
        assert_eq!(ids(&found).len(), 2);
        let request = agent
            .post(format!("{base}/search/image"))
            .header("content-type", FORM);
        let found = request
            .send(form(&[("image", &picture)]).as_slice())
            .expect("answers");
        assert_eq!(found.status(), 200);
        assert_eq!(
            agent
                .get(format!("{base}/nowhere"))
                .call()
                .expect("answers")
                .status(),
            404
        );
    });
    client.await.expect("the client's assertions hold");
    server.end().await;
}
