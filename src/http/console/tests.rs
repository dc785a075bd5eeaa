//! The served files, without a browser.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;

#[test]
fn every_file_of_the_page_is_served_and_no_other() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/console");
    let there: BTreeSet<String> = std::fs::read_dir(here)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| Path::new(name).extension().is_none_or(|end| end != "rs"))
        .collect();
    let served: BTreeSet<String> = FILES
        .iter()
        .map(|(path, ..)| match path.strip_prefix("/console/") {
            Some(name) => name.to_owned(),
            None => "index.html".to_owned(),
        })
        .collect();
    assert_eq!(served, there);
}

#[test]
fn nothing_in_the_page_names_another_place() {
    for (path, _, content) in FILES {
        for part in content.split("://").skip(1) {
            // The name of a namespace is not an address.
            assert!(part.starts_with("www.w3.org/2000/svg"), "{path}: {part:.40}");
        }
        for hole in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!content.contains(hole), "{path} has {hole}");
        }
    }
}

#[test]
fn a_page_that_is_known_is_not_sent_again() {
    let (_, kind, content) = FILES[0];
    let tag = tag(content);
    let mut asked = HeaderMap::new();
    assert_eq!(file(&asked, kind, content, &tag).status(), StatusCode::OK);
    for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        asked.insert(header::IF_NONE_MATCH, known.parse().unwrap());
        let answer = file(&asked, kind, content, &tag);
        assert_eq!(answer.status(), StatusCode::NOT_MODIFIED, "{known}");
        assert_eq!(answer.headers()[header::ETAG], tag.as_str());
    }
    asked.insert(header::IF_NONE_MATCH, "\"other\"".parse().unwrap());
    assert_eq!(file(&asked, kind, content, &tag).status(), StatusCode::OK);
}

#[test]
fn the_page_may_load_nothing_but_itself() {
    let answer = file(&HeaderMap::new(), HTML, "", "\"\"");
    let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    for rule in ["default-src 'none'", "script-src 'self';", "frame-ancestors 'none'"] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert_eq!(answer.headers()[header::REFERRER_POLICY], "no-referrer");
    assert_eq!(answer.headers()[header::CONTENT_TYPE], HTML);
}
