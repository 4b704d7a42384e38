//! The pages: the company's with its numbers, and the ones that say why there is no link.

use std::borrow::Cow;

use axum::http::header::{CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_TYPE, VARY};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use trunkline_number::{Dialled, NumberError, Refusal};

use crate::catalogue::Offer;
use crate::{Language, Site};

/// The company page.
pub(crate) fn home(site: &Site, language: Language) -> Response {
    let words = Words::of(language);
    let company = &site.company;
    let lead = company.lead.as_ref().map_or(String::new(), |lead| {
        format!("<p class=\"lead\">{}</p>", escape(lead.text(language)))
    });
    let cards: String =
        site.catalogue.listed().iter().map(|offer| card(site, offer, language)).collect();
    let main = format!(
        "<section class=\"hero\"><div class=\"wrap\">\
         <p class=\"kicker\">{kicker}</p><h1>{name}</h1>{lead}</div></section>\n\
         <section class=\"wrap\" aria-labelledby=\"numbers\">\
         <h2 id=\"numbers\">{numbers}</h2><p class=\"hint\">{hint}</p>\n\
         <ul class=\"cards\">\n{cards}</ul></section>\n\
         <section class=\"wrap notes\" aria-labelledby=\"how\"><h2 id=\"how\">{how}</h2>\
         <ol><li>{how_1}</li><li>{how_2}</li><li>{how_3}</li></ol></section>",
        kicker = words.kicker,
        name = escape(company.name.text(language)),
        numbers = words.numbers,
        hint = words.hint,
        how = words.how,
        how_1 = words.how_steps[0],
        how_2 = words.how_steps[1],
        how_3 = words.how_steps[2],
    );
    let title = format!("{} | {}", words.kicker, company.name.text(language));
    html(StatusCode::OK, language, &document(site, language, &title, &main), "no-cache")
}

/// One number: what answers there, the number as a link, and the other ways to call it.
fn card(site: &Site, offer: &Offer, language: Language) -> String {
    let words = Words::of(language);
    let label = offer.label.as_ref().map_or("", |label| label.text(language));
    let note = offer.note.as_ref().map_or(String::new(), |note| {
        format!("<p class=\"note\">{}</p>", escape(note.text(language)))
    });
    let stem = &offer.file_stem;
    let direct = match offer.gateway {
        Some(_) => {
            format!("<li><a class=\"direct\" href=\"/direct/{stem}.vlf\">{}</a></li>", words.direct)
        }
        None => String::new(),
    };
    format!(
        "<li class=\"card\"><h3>{label}</h3>{note}\
         <a class=\"number\" href=\"/call/{stem}.vlf\"{in_page} aria-label=\"{call}\">\
         <svg aria-hidden=\"true\" viewBox=\"0 0 24 24\"><path d=\"{HANDSET}\"/></svg>\
         <span>{written}</span></a>\
         <ul class=\"ways\">{direct}<li><a class=\"tel\" href=\"tel:{number}\" data-no-call>{tel}</a></li></ul>\
         </li>\n",
        label = escape(label),
        call = escape(&words.call_aria(label, &offer.written)),
        written = escape(&offer.written),
        // In a URI "#" would begin a fragment (RFC 3986 §3.5).
        number = offer.number.to_string().replace('#', "%23"),
        tel = words.tel,
        // The script makes a call from within the page of it; without script it stays the link it is.
        in_page = match (&site.calls, &offer.number) {
            (Some(_), Dialled::E164(number)) => format!(" data-call=\"{number}\""),
            _ => String::new(),
        },
    )
}

/// Why there is no page or no link.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// No such address.
    UnknownPage,
    /// A number the site does not offer.
    UnknownNumber(Dialled),
    /// A number for which no gateway is configured, asked for with its gateway.
    NoGateway(Dialled),
    /// A number the policy refuses.
    Refused(Refusal),
    /// No telephone number.
    Unreadable(NumberError),
    /// `/call` without `n`.
    NoNumber,
    /// Percent-encoding or a query that cannot be read.
    BrokenAddress,
    /// An over-long address.
    TooLong,
    /// Another method than GET and HEAD.
    WrongMethod,
}

/// A page that says what is wrong, with the way back.
pub(crate) fn trouble(
    site: &Site,
    language: Language,
    status: StatusCode,
    trouble: &Trouble,
) -> Response {
    let words = Words::of(language);
    let (title, text) = trouble_words(language, trouble);
    let main = format!(
        "<section class=\"wrap trouble\"><p class=\"status\">{status}</p><h1>{title}</h1>\
         <p>{text}</p><p><a class=\"back\" href=\"/{tag}\">{back}</a></p></section>",
        status = status.as_u16(),
        text = escape(&text),
        tag = language.tag(),
        back = words.back,
    );
    html(status, language, &document(site, language, title, &main), "no-store")
}

fn trouble_words(language: Language, trouble: &Trouble) -> (&'static str, String) {
    match (language, trouble) {
        (Language::Ja, Trouble::UnknownPage) => {
            ("ページが見つかりません", "お探しのページはありません。".to_owned())
        }
        (Language::En, Trouble::UnknownPage) => {
            ("Page not found", "There is no page at this address.".to_owned())
        }
        (Language::Ja, Trouble::UnknownNumber(number)) => (
            "この電話番号はご案内していません",
            format!("{number} は当サイトの電話番号ではありません。番号をお確かめください。"),
        ),
        (Language::En, Trouble::UnknownNumber(number)) => (
            "We do not offer this number",
            format!("{number} is not one of this site's numbers. Please check it."),
        ),
        (Language::Ja, Trouble::NoGateway(number)) => (
            "直通のリンクはありません",
            format!(
                "{number} にはゲートウェイが登録されていません。通常のリンクからおかけください。"
            ),
        ),
        (Language::En, Trouble::NoGateway(number)) => (
            "There is no direct link",
            format!("No gateway is set for {number}. Please use its ordinary link."),
        ),
        (Language::Ja, Trouble::Refused(refusal)) => {
            ("この番号にはおつなぎできません", refusal_in_japanese(refusal))
        }
        (Language::En, Trouble::Refused(refusal)) => {
            ("This number cannot be called from here", format!("{refusal}."))
        }
        (Language::Ja, Trouble::Unreadable(error)) => {
            ("電話番号として読めません", format!("番号をお確かめください（{error}）。"))
        }
        (Language::En, Trouble::Unreadable(error)) => {
            ("This is not a telephone number", format!("Please check it: {error}."))
        }
        (Language::Ja, Trouble::NoNumber) => (
            "電話番号がありません",
            "/call?n=03-3333-1234 のように番号を指定してください。".to_owned(),
        ),
        (Language::En, Trouble::NoNumber) => {
            ("No number given", "Give one, such as /call?n=03-3333-1234.".to_owned())
        }
        (Language::Ja, Trouble::BrokenAddress) => {
            ("アドレスが読めません", "アドレスが途中で壊れています。".to_owned())
        }
        (Language::En, Trouble::BrokenAddress) => (
            "The address cannot be read",
            "Its encoding is broken; please go by the links on the page.".to_owned(),
        ),
        (Language::Ja, Trouble::TooLong) => {
            ("アドレスが長すぎます", "リンクからもう一度お試しください。".to_owned())
        }
        (Language::En, Trouble::TooLong) => (
            "The address is too long",
            "No address here is that long; please go by the links on the page.".to_owned(),
        ),
        (Language::Ja, Trouble::WrongMethod) => {
            ("この操作はできません", "このアドレスは読み取り専用です。".to_owned())
        }
        (Language::En, Trouble::WrongMethod) => {
            ("Not possible here", "This address can only be read.".to_owned())
        }
    }
}

fn refusal_in_japanese(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Emergency { code } => format!(
            "{code} は緊急通報番号です。ここからの通話では発信場所が伝わらないため、おつなぎできません。お手元の電話からおかけください。"
        ),
        Refusal::Premium { number, .. } => {
            format!("{number} は通話料のほかに情報料などがかかる番号のため、おつなぎできません。")
        }
        Refusal::Denied { number, .. } | Refusal::NotAllowed { number } => {
            format!("{number} は当サイトからおつなぎできない番号です。")
        }
        Refusal::ShortCode { code } => {
            format!("{code} は電話サービスの特番のため、おつなぎできません。")
        }
    }
}

/// Everything around the main part of a page.
fn document(site: &Site, language: Language, title: &str, main: &str) -> String {
    let words = Words::of(language);
    let name = escape(site.company.name.text(language));
    let address = site.company.address.as_ref().map_or(String::new(), |address| {
        format!("<address>{}</address>", escape(address.text(language)))
    });
    let current = |this| if language == this { " aria-current=\"true\"" } else { "" };
    format!(
        "<!doctype html>\n<html lang=\"{tag}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"format-detection\" content=\"telephone=no\">\n\
         <title>{title}</title>\n<link rel=\"icon\" href=\"/icon.svg\" type=\"image/svg+xml\">\n\
         <link rel=\"stylesheet\" href=\"/style.css\">\n\
         <link rel=\"alternate\" hreflang=\"ja\" href=\"/ja\">\n\
         <link rel=\"alternate\" hreflang=\"en\" href=\"/en\">\n{script}</head>\n<body>\n\
         <a class=\"skip\" href=\"#main\">{skip}</a>\n\
         <header><div class=\"wrap bar\">\
         <a class=\"brand\" href=\"/{tag}\"><img src=\"/icon.svg\" alt=\"\" width=\"28\" height=\"28\">\
         <span>{name}</span></a>\
         <nav aria-label=\"{languages}\"><a href=\"/ja\" hreflang=\"ja\" lang=\"ja\"{ja}>日本語</a>\
         <a href=\"/en\" hreflang=\"en\" lang=\"en\"{en}>English</a></nav></div></header>\n\
         <main id=\"main\">\n{main}\n</main>\n\
         <footer><div class=\"wrap\"><p>{name}</p>{address}</div></footer>\n</body>\n</html>\n",
        tag = language.tag(),
        title = escape(title),
        skip = words.skip,
        script = match site.calls {
            Some(_) => "<script type=\"module\" src=\"/call.js\"></script>\n",
            None => "",
        },
        languages = words.languages,
        ja = current(Language::Ja),
        en = current(Language::En),
    )
}

fn html(status: StatusCode, language: Language, document: &str, cache: &'static str) -> Response {
    let headers: [(HeaderName, &str); 4] = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_LANGUAGE, language.tag()),
        (CACHE_CONTROL, cache),
        (VARY, "Accept-Language"),
    ];
    (status, headers, document.to_owned()).into_response()
}

/// Text as HTML, in elements and in quoted attributes.
fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    Cow::Owned(escaped)
}

/// A handset, drawn for this page.
const HANDSET: &str = "M5 3h4l2 5-2.6 1.9a12 12 0 0 0 5.7 5.7L16 13l5 2v4a2 2 0 0 1-2.2 2A17 17 0 0 1 3 5.2 2 2 0 0 1 5 3z";

/// The page's fixed texts.
struct Words {
    kicker: &'static str,
    numbers: &'static str,
    hint: &'static str,
    direct: &'static str,
    tel: &'static str,
    how: &'static str,
    how_steps: [&'static str; 3],
    skip: &'static str,
    languages: &'static str,
    back: &'static str,
    language: Language,
}

impl Words {
    fn of(language: Language) -> &'static Words {
        match language {
            Language::Ja => &JAPANESE,
            Language::En => &ENGLISH,
        }
    }

    fn call_aria(&self, label: &str, number: &str) -> String {
        match self.language {
            Language::Ja => format!("{label} {number} に電話をかける"),
            Language::En => format!("Call {label} on {number}"),
        }
    }
}

static JAPANESE: Words = Words {
    kicker: "お問い合わせ",
    numbers: "お電話でのお問い合わせ",
    hint: "番号を押すと、お使いのパソコンからそのまま通話できます。",
    direct: "ゲートウェイへ直接かける",
    tel: "電話アプリでかける",
    how: "番号を押すと",
    how_steps: [
        "番号の入った小さなファイルが届き、通話ソフトが開きます。",
        "通話ソフトが番号を表示します。ご確認のうえ発信してください。",
        "弊社の電話が鳴ります。マイクとスピーカーでお話しください。",
    ],
    skip: "本文へ",
    languages: "言語",
    back: "お問い合わせページへ戻る",
    language: Language::Ja,
};

static ENGLISH: Words = Words {
    kicker: "Contact",
    numbers: "Talk to us",
    hint: "Click a number to call it from this computer.",
    direct: "Call through our gateway",
    tel: "Call with your phone app",
    how: "What a click does",
    how_steps: [
        "A small file with the number arrives and opens your phone program.",
        "The program shows the number and asks before it dials.",
        "Our telephone rings. Talk with your microphone and speakers.",
    ],
    skip: "Skip to content",
    languages: "Language",
    back: "Back to the contact page",
    language: Language::En,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_become_markup() {
        assert_eq!(escape("<a href='x'>\"&\""), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;&quot;");
        assert_eq!(escape("03-3333-1234"), "03-3333-1234");
    }
}
