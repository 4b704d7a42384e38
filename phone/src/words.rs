//! The words a person reads, in the person's language.

use std::time::Duration;

use serde::Deserialize;
use trunkline_number::Refusal;

use crate::callee::CalleeError;
use crate::engine::CallError;
use crate::state::{CallState, Ending};

/// A language that the phone speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Language {
    /// English.
    #[serde(rename = "en")]
    English,
    /// Japanese.
    #[serde(rename = "ja")]
    Japanese,
}

impl Language {
    /// The language of this process: by `LC_ALL`, `LC_MESSAGES` and `LANG`, in the order of POSIX
    /// (XBD §8.2).
    pub fn of_environment() -> Self {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self::of_locale(
            &["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(set).unwrap_or_default(),
        )
    }

    fn of_locale(locale: &str) -> Self {
        if locale.starts_with("ja") { Self::Japanese } else { Self::English }
    }

    /// One of two texts.
    pub fn pick<T>(self, english: T, japanese: T) -> T {
        match self {
            Self::English => english,
            Self::Japanese => japanese,
        }
    }
}

/// Why a gateway turned a call down, as far as it matters to the person who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nobody has the number.
    UnknownNumber,
    /// The gateway has no way to the number.
    NoWay,
    /// The other person is on the telephone.
    Busy,
    /// Nobody picked up.
    NoAnswer,
    /// The call was rejected.
    Rejected,
    /// The number is not complete.
    Incomplete,
    /// All lines are in use.
    Full,
    /// The line behind the gateway does not work.
    OutOfOrder,
    /// There is no common way to carry the voice.
    NotPossible,
    /// Something else.
    Failed,
}

impl Why {
    /// The reason for a Q.850 cause, or a SIP status where no cause came with it.
    pub fn of(cause: Option<u8>, status: u16) -> Self {
        match cause {
            Some(1 | 2 | 22) => return Self::UnknownNumber,
            Some(3) => return Self::NoWay,
            Some(17) => return Self::Busy,
            Some(18 | 19 | 20 | 102) => return Self::NoAnswer,
            Some(21) => return Self::Rejected,
            Some(28) => return Self::Incomplete,
            Some(34 | 42 | 44 | 47) => return Self::Full,
            Some(27 | 38 | 41) => return Self::OutOfOrder,
            Some(58 | 63 | 65 | 79 | 88) => return Self::NotPossible,
            _ => {}
        }
        match status {
            404 | 410 | 484 | 604 => Self::UnknownNumber,
            408 | 480 => Self::NoAnswer,
            486 | 600 => Self::Busy,
            401 | 403 | 407 | 603 => Self::Rejected,
            488 | 606 => Self::NotPossible,
            503 => Self::Full,
            _ => Self::Failed,
        }
    }

    /// In words.
    pub fn text(self, language: Language) -> &'static str {
        let (english, japanese) = match self {
            Self::UnknownNumber => {
                ("unknown number: nobody has this number", "この電話番号は使われていません")
            }
            Self::NoWay => {
                ("unknown number: the gateway has no way to it", "この番号へはつながりません")
            }
            Self::Busy => ("busy: the other person is on the telephone", "話し中です"),
            Self::NoAnswer => ("no answer: nobody picked up", "応答がありません"),
            Self::Rejected => ("refused: the call was rejected", "着信を拒否されました"),
            Self::Incomplete => {
                ("unknown number: it is not complete", "電話番号の桁数が足りません")
            }
            Self::Full => (
                "gateway full: all lines are busy, try again later",
                "回線が混み合っています。しばらくしてからおかけ直しください",
            ),
            Self::OutOfOrder => (
                "out of order: the line behind the gateway does not work",
                "電話回線に障害があります",
            ),
            Self::NotPossible => (
                "not possible: no common way to carry the voice",
                "音声の方式が合わないため通話できません",
            ),
            Self::Failed => {
                ("failed: the gateway could not make the call", "電話をかけられませんでした")
            }
        };
        language.pick(english, japanese)
    }
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text(Language::English))
    }
}

/// Why there was no call, or why it ended badly.
pub fn failure(error: &CallError, language: Language) -> String {
    if language == Language::English {
        return error.to_string();
    }
    match error {
        CallError::NoGateway => "この番号を扱うゲートウェイがありません".to_owned(),
        CallError::GatewaysOut => {
            "この番号のゲートウェイは今使えません。しばらくしてからおかけ直しください".to_owned()
        }
        CallError::NoDirectory(_) => "番号案内サーバーが応答しません".to_owned(),
        CallError::Refused { why, .. } => why.text(language).to_owned(),
        CallError::Silent(gateway) => format!("ゲートウェイが応答しません ({gateway})"),
        CallError::Voice => "音声が途切れました".to_owned(),
        CallError::Description(_) => Why::NotPossible.text(language).to_owned(),
        other => format!("{} ({other})", Why::Failed.text(language)),
    }
}

/// Why a number is not called.
pub fn refusal(error: &CalleeError, language: Language) -> String {
    if language == Language::English {
        return error.to_string();
    }
    match error {
        CalleeError::Refused(Refusal::Emergency { code }) => {
            format!("{code} は緊急通報用の番号です。普通の電話からおかけください")
        }
        CalleeError::Refused(Refusal::Premium { .. }) => {
            "情報料などがかかる番号のため、ページからはかけられません".to_owned()
        }
        CalleeError::Refused(_) => "設定により、この番号へはかけられません".to_owned(),
        CalleeError::Distrusted(_) => {
            format!("ページのデータは信頼できません ({error})")
        }
        CalleeError::Number(_) | CalleeError::TooLarge(_) | CalleeError::NoFile(_) => {
            format!("ページのデータを電話番号として読めません ({error})")
        }
        CalleeError::File { .. } => format!("ファイルを読めません ({error})"),
        CalleeError::ShortCode(code) => {
            format!("{code} は電話局の短縮番号です。普通の電話からおかけください")
        }
        CalleeError::Key(_) => format!("設定に誤りがあります ({error})"),
    }
}

/// What the person should know of a gateway that the page names but that is not trusted.
pub fn untrusted_gateway(gateway: &str, language: Language) -> String {
    match language {
        Language::English => format!(
            "the page names gateway {gateway}, which is not trusted here; \
             the directory is asked instead"
        ),
        Language::Japanese => format!(
            "ページの指定するゲートウェイ {gateway} は信頼できません。代わりに番号案内サーバーに問い合わせます"
        ),
    }
}

/// The question before dialling.
pub fn question(written: &str, language: Language) -> String {
    match language {
        Language::English => format!("Call {written}?"),
        Language::Japanese => format!("{written} に電話をかけますか?"),
    }
}

/// A state in one line, for the text interface.
pub fn line(state: &CallState, language: Language) -> String {
    match (state, language) {
        (CallState::Registering { gateway }, Language::English) => {
            format!("Registering at {gateway}")
        }
        (CallState::Registering { gateway }, Language::Japanese) => format!("{gateway} に登録中"),
        (CallState::Ready { user }, Language::English) => format!("Ready: can be called as {user}"),
        (CallState::Ready { user }, Language::Japanese) => format!("待ち受け中: {user}"),
        (CallState::NotRegistered { status }, Language::English) => {
            format!("Not registered, the gateway said {status}; trying again")
        }
        (CallState::NotRegistered { status }, Language::Japanese) => {
            format!("登録できません ({status})。再試行します")
        }
        (CallState::RungBy { from }, Language::English) => {
            format!("{from} calls: y answers, n declines")
        }
        (CallState::RungBy { from }, Language::Japanese) => {
            format!("{from} から着信: y で応答、n で拒否")
        }
        (CallState::Inquiring, _) => language.pick("Asking the directory", "問い合わせ中").into(),
        (CallState::Dialling { written, gateway }, Language::English) => {
            format!("Dialling {written} through {gateway}")
        }
        (CallState::Dialling { written, gateway }, Language::Japanese) => {
            format!("{written} に発信中 ({gateway} 経由)")
        }
        (CallState::Ringing, _) => language.pick("Ringing", "呼び出し中").into(),
        (CallState::Talking { .. }, _) => language
            .pick(
                "Talking: digits are sent, m mutes, h hangs up",
                "通話中: 数字は送信、m は消音、h は切断",
            )
            .into(),
        (CallState::OnHold { .. }, _) => language.pick("On hold", "保留中").into(),
        (CallState::TalkingAgain { .. }, _) => language.pick("Talking again", "通話を再開").into(),
        (CallState::Ended { ending, talked }, _) => ended(*ending, *talked, language),
    }
}

/// How and when a call ended.
pub fn ended(ending: Ending, talked: Option<Duration>, language: Language) -> String {
    let how = match ending {
        Ending::HungUp => language.pick("Hung up", "電話を切りました"),
        Ending::OtherSide => language.pick("The other side hung up", "相手が電話を切りました"),
    };
    match (talked, language) {
        (Some(talked), Language::English) => format!("{how} after {}", clock(talked)),
        (Some(talked), Language::Japanese) => format!("{how} (通話時間 {})", clock(talked)),
        (None, Language::English) => format!("{how} before an answer"),
        (None, Language::Japanese) => format!("{how} (応答前)"),
    }
}

/// A talking time as mm:ss.
pub fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_says_more_than_the_status() {
        assert_eq!(Why::of(Some(34), 503), Why::Full);
        assert_eq!(Why::of(Some(38), 503), Why::OutOfOrder);
        assert_eq!(Why::of(Some(17), 486), Why::Busy);
        assert_eq!(Why::of(Some(19), 480), Why::NoAnswer);
        assert_eq!(Why::of(None, 404), Why::UnknownNumber);
    }

    #[test]
    fn the_locale_chooses_the_language() {
        assert_eq!(Language::of_locale("ja_JP.UTF-8"), Language::Japanese);
        assert_eq!(Language::of_locale("de_DE"), Language::English);
        assert_eq!(Language::of_locale(""), Language::English);
    }
}
