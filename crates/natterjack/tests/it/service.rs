//! Services, as tools see them.

use async_nats::service::{Info, PingResponse, Stats};
use natterjack::Msg;
use natterjack::codec::{Binary, Text};
use natterjack::error::RequestError;
use natterjack::service::{Endpoint, ServiceError};
use serde_json::{Value, json};

use crate::{PATIENCE, connect, server};

/// The document with what differs from run to run blanked.
fn masked(mut document: Value) -> Value {
    for name in ["id", "started"] {
        if let Some(field) = document.get_mut(name) {
            *field = "..".into();
        }
    }
    let endpoints = document.get_mut("endpoints").and_then(Value::as_array_mut);
    for endpoint in endpoints.into_iter().flatten() {
        for name in ["processing_time", "average_processing_time"] {
            if let Some(field) = endpoint.get_mut(name) {
                *field = field.is_u64().into();
            }
        }
    }
    document
}

// Shows U-054.
#[tokio::test]
async fn a_service_answers_tools_and_counts_its_errors() {
    let server = server().await;
    let connector = connect(&server).await;
    let service = connector
        .service("quotes", "1.2.0")
        .description("prices in euros")
        .metadata("region", "eu")
        .endpoint("v1.eur", |pieces: Msg<u32>| async move {
            match pieces.value() {
                0 => Err(ServiceError::new(404, "no pieces,\nno price")),
                13 => panic!("a handler may"),
                pieces => Ok(pieces * 3),
            }
        })
        .with(
            Endpoint::with_codec(Text, "names.*", |name: Msg<String>| async move {
                Ok(format!("{} {}", name.subject, name.value()))
            })
            .name("names")
            .queue("others")
            .metadata("format", "text"),
        )
        .start()
        .await
        .unwrap();
    let id = service.info().id.clone();

    assert_eq!(connector.request::<u32, u32>("v1.eur", &2).await.unwrap(), 6);
    let ask = connector.ask("names.a").codec(Text);
    assert_eq!(ask.send::<str, String>("b").await.unwrap(), "names.a b");
    let mut refusals = Vec::new();
    for question in ["0", "13", "many"] {
        let ask = connector.ask("v1.eur").codec(Text);
        let answer = ask.send_msg::<str, String>(question).await.unwrap();
        assert_eq!(answer.value(), "");
        let header = |name: &str| answer.header(name).unwrap().to_owned();
        refusals.push((header("Nats-Service-Error-Code"), header("Nats-Service-Error")));
    }
    assert_eq!(refusals[0], ("404".to_owned(), "no pieces, no price".to_owned()));
    assert_eq!(refusals[1], ("500".to_owned(), "the handler panicked".to_owned()));
    assert_eq!(refusals[2].0, "400");

    let last_error = format!("{}:{}", refusals[2].0, refusals[2].1);
    let head = |kind: &str| {
        json!({
            "type": format!("io.nats.micro.v1.{kind}_response"), "name": "quotes", "id": "..",
            "version": "1.2.0", "metadata": {"region": "eu"},
        })
    };
    let with = |mut document: Value, fields: Value| {
        document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        document
    };
    let info = json!({"description": "prices in euros", "endpoints": [
        {"name": "v1-eur", "subject": "v1.eur", "queue_group": "q", "metadata": {}},
        {"name": "names", "subject": "names.*", "queue_group": "others", "metadata": {"format": "text"}},
    ]});
    let stats = json!({"started": "..", "endpoints": [
        {"name": "v1-eur", "subject": "v1.eur", "queue_group": "q", "num_requests": 4, "num_errors": 3,
         "last_error": last_error, "processing_time": true, "average_processing_time": true},
        {"name": "names", "subject": "names.*", "queue_group": "others", "num_requests": 1, "num_errors": 0,
         "last_error": "", "processing_time": true, "average_processing_time": true},
    ]});
    for (verb, want) in [
        ("PING", head("ping")),
        ("INFO", with(head("info"), info)),
        ("STATS", with(head("stats"), stats)),
    ] {
        for subject in [
            format!("$SRV.{verb}"),
            format!("$SRV.{verb}.quotes"),
            format!("$SRV.{verb}.quotes.{id}"),
        ] {
            let answer: Value = connector.request(&subject, "").await.unwrap();
            assert_eq!(answer["id"], id, "{subject}");
            assert_eq!(masked(answer), want, "{subject}");
        }
        assert!(connector.request::<str, Value>(&format!("$SRV.{verb}.other"), "").await.is_err());
    }

    // Another client reads the same documents.
    let raw = async |verb: &str| {
        let ask = connector.ask(format!("$SRV.{verb}")).codec(Binary);
        ask.send::<str, Vec<u8>>("").await.unwrap()
    };
    let ping: PingResponse = serde_json::from_slice(&raw("PING").await).unwrap();
    let info: Info = serde_json::from_slice(&raw("INFO").await).unwrap();
    let stats: Stats = serde_json::from_slice(&raw("STATS").await).unwrap();
    assert_eq!((ping.name, info.endpoints.len()), ("quotes".to_owned(), 2));
    let last = stats.endpoints[0].last_error.clone().unwrap();
    assert_eq!((stats.endpoints[0].errors, last.code), (3, 400));
    // nats-py reads microseconds only.
    assert_eq!(service.stats().started.len(), "2026-11-23T11:53:02.560811Z".len());

    service.reset();
    assert_eq!(service.stats().endpoints[0].num_requests, 0);
    service.stop().await;
    connector.close().await.unwrap();
}

#[tokio::test]
async fn a_stopped_service_finishes_what_it_has_and_is_gone() {
    let server = server().await;
    let (connector, client) = (connect(&server).await, connect(&server).await);
    let (began, mut beginnings) = tokio::sync::mpsc::unbounded_channel();
    let finish = std::sync::Arc::new(tokio::sync::Notify::new());
    let may = finish.clone();
    let service = connector.service("slow", "0.1.0").endpoint("slow", move |n: Msg<u32>| {
        let (began, may) = (began.clone(), may.clone());
        async move {
            began.send(()).unwrap();
            may.notified().await;
            Ok(n.into_value())
        }
    });
    let service = service.start().await.unwrap();
    let asking = client.clone();
    let asked = tokio::spawn(async move { asking.request::<u32, u32>("slow", &7).await });
    beginnings.recv().await.unwrap();
    let stopped = tokio::spawn(service.stop());
    finish.notify_one();
    assert_eq!(asked.await.unwrap().unwrap(), 7);
    stopped.await.unwrap();
    for subject in ["slow", "$SRV.PING.slow"] {
        let error = client.request::<u32, Value>(subject, &1).await.unwrap_err();
        assert_eq!(error.code(), "request.no_responders", "{subject}");
    }
    connector.close().await.unwrap();
}

#[tokio::test]
async fn a_service_that_stops_takes_in_no_more_on_any_endpoint() {
    let server = server().await;
    let (connector, client) = (connect(&server).await, connect(&server).await);
    let (began, mut beginnings) = tokio::sync::mpsc::unbounded_channel();
    let finish = std::sync::Arc::new(tokio::sync::Notify::new());
    let may = finish.clone();
    let slow = move |n: Msg<u32>| {
        let (began, may) = (began.clone(), may.clone());
        async move {
            began.send(()).unwrap();
            may.notified().await;
            Ok(n.into_value())
        }
    };
    let quick = |n: Msg<u32>| async move { Ok(n.into_value()) };
    let service = connector.service("two", "0.1.0").endpoint("slow", slow).endpoint("quick", quick);
    let service = service.start().await.unwrap();
    let asking = client.clone();
    let asked = tokio::spawn(async move { asking.request::<u32, u32>("slow", &7).await });
    beginnings.recv().await.unwrap();
    let stopped = tokio::spawn(service.stop());
    // While the one still works on what it has, the other is gone.
    let gone = async {
        while !matches!(
            client.request::<u32, u32>("quick", &1).await,
            Err(RequestError::NoResponders(_))
        ) {}
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("nobody takes new requests");
    finish.notify_one();
    assert_eq!(asked.await.unwrap().unwrap(), 7);
    stopped.await.unwrap();
    connector.close().await.unwrap();
}

#[tokio::test]
async fn who_asked_for_what_is_too_large_is_told_so() {
    let server = server().await;
    let connector = connect(&server).await;
    let endpoint = Endpoint::with_codec(Text, "big", |size: Msg<String>| async move {
        Ok("x".repeat(size.value().parse().unwrap()))
    });
    let service = connector.service("big", "0.1.0").with(endpoint).start().await.unwrap();
    let limit = connector.raw().unwrap().max_payload();
    let ask = async |size: usize| {
        let ask = connector.ask("big").codec(Text);
        ask.send_msg::<_, String>(&size.to_string()).await
    };
    assert_eq!(ask(limit).await.unwrap().value().len(), limit);
    let told = ask(limit + 1).await.unwrap();
    assert_eq!(told.header("Nats-Service-Error-Code"), Some("500"));
    let text = format!("message of {} bytes exceeds the server's limit of {limit}", limit + 1);
    assert_eq!(told.header("Nats-Service-Error"), Some(text.as_str()));
    let stats = service.stats();
    let (requests, errors) = (stats.endpoints[0].num_requests, stats.endpoints[0].num_errors);
    assert_eq!((requests, errors), (2, 1));
    service.stop().await;
    connector.close().await.unwrap();
}

#[tokio::test]
async fn what_a_service_refuses_is_an_error_for_who_asks() {
    let server = server().await;
    let connector = connect(&server).await;
    let refuse = async |_: Msg<u32>| Err::<u32, _>(ServiceError::new(404, "no price"));
    let service =
        connector.service("none", "0.1.0").endpoint("none", refuse).start().await.unwrap();
    let text = connector.ask("none").codec(Text).send::<str, String>("1").await.unwrap_err();
    // Nothing of a number is in the empty body.
    let number = connector.request::<u32, u32>("none", &1).await.unwrap_err();
    let whole = connector.ask("none").send_msg::<u32, u32>(&1).await.unwrap_err();
    let many = connector.ask("none").many(natterjack::Until::Count(1));
    let mut many = many.stream::<u32, u32>(&1).await.unwrap();
    for error in [text, number, whole, many.next().await.unwrap().unwrap_err()] {
        let RequestError::Refused(refused) = &error else { panic!("{error}") };
        assert_eq!((refused.subject.as_str(), refused.code), ("none", 404));
        assert_eq!(error.to_string(), "none: no price (code 404)");
        assert_eq!((error.code(), error.exit_code()), ("request.refused", 5));
    }
    service.stop().await;
    connector.close().await.unwrap();
}

#[tokio::test]
async fn a_service_that_tools_could_not_show_is_refused() {
    let server = server().await;
    let connector = connect(&server).await;
    let echo = |n: Msg<u32>| async move { Ok(n.into_value()) };
    for (name, version, endpoint) in
        [("a b", "1.0.0", "e"), ("a", "1.0", "e"), ("a", "1.0.0", "e.f"), ("", "1.0.0", "e")]
    {
        let endpoint = Endpoint::new("s", echo).name(endpoint);
        let refused = connector.service(name, version).with(endpoint).start().await.unwrap_err();
        assert_eq!(refused.code(), "js.bad_name", "{refused}");
    }
    connector.close().await.unwrap();
}
