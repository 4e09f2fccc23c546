//! The scripts of the pairs.

mod callbacks;
mod connector;
mod creds;
mod jetstream;
mod kv;
mod kv_token;
mod logging;
mod simple;

use super::Lang;
use super::scene::{Names, Scene};

/// A pair.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub(super) id: u8,
    pub(super) name: &'static str,
    en: &'static str,
    ru: &'static str,
}

impl Pair {
    pub(super) fn title(&self, lang: Lang) -> &'static str {
        match lang {
            Lang::En => self.en,
            Lang::Ru => self.ru,
        }
    }

    /// All, in the order of the path.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        [
            ("simple", "Basic: publish and subscribe", "Основы: отправка и подписка"),
            ("creds", "A credentials file", "Файл учётных данных"),
            (
                "jetstream",
                "JetStream: messages wait for their reader",
                "JetStream: сообщения ждут читателя",
            ),
            ("callbacks", "Every event, every error", "Все события и все ошибки"),
            ("kv", "Key/Value with a watch", "Ключ/значение с наблюдением"),
            ("kv_token", "Key/Value and a token", "Ключ/значение и токен"),
            ("connector", "A class for the connection", "Класс для соединения"),
            ("logging", "A logger", "Журнал"),
        ]
        .into_iter()
        .zip(1..)
        .map(|((name, en, ru), id)| Self { id, name, en, ru })
    }
}

impl Names {
    /// Those of the programs' own defaults, for a server of our own.
    pub(super) fn own() -> Self {
        Self {
            subject: "foo".into(),
            stream: "sample_stream".into(),
            durable: "sample_subscriber".into(),
            bucket: "sample_kv".into(),
        }
    }

    /// Names that nobody else uses, for a server of somebody else.
    pub(super) fn strange(pair: u8) -> Self {
        let run: u32 = rand::random();
        let id = format!("{run:08x}_{pair}");
        Self {
            subject: format!("tour.{id}.foo"),
            stream: format!("tour_{id}"),
            durable: "tour_subscriber".into(),
            bucket: format!("tour_{id}"),
        }
    }
}

/// Plays a pair. What it checks is noted in the scene; an error means that it could not go on.
pub(super) async fn play(pair: u8, scene: &mut Scene<'_>) -> Result<(), String> {
    match pair {
        1 => simple::play(scene).await,
        2 => creds::play(scene).await,
        3 => jetstream::play(scene).await,
        4 => callbacks::play(scene).await,
        5 => kv::play(scene).await,
        6 => kv_token::play(scene).await,
        7 => connector::play(scene).await,
        _ => logging::play(scene).await,
    }
}

/// 1 to `n`: the numbers of messages that arrived complete and in order.
fn up_to(n: u64) -> Vec<u64> {
    (1..=n).collect()
}
