use super::*;

const PROTO: &str = "crates/proto/src/link.rs";

fn wrong(path: &str, text: &str) -> Vec<String> {
    check_file(path, text)
}

#[test]
fn a_file_needs_a_header_and_an_end() {
    assert_eq!(wrong("a.rs", "//! Owns a.\nfn a() {}\n"), [""; 0]);
    assert_eq!(wrong("a.rs", "fn a() {}\n").len(), 1);
    assert_eq!(wrong("a/tests.rs", "fn a() {}\n"), [""; 0]);
    let long = format!("//! Long.\n{}", "\n".repeat(MOST_LINES));
    assert_eq!(wrong("a.rs", &long), ["a.rs:801: 801 lines; split it, 800 is the limit"]);
    assert_eq!(wrong("a.md", &long), [""; 0]);
}

#[test]
fn paths_of_one_machine_are_found_and_others_let_be() {
    for (folder, rest) in [("/home", "me/x"), ("/root", ".cargo"), ("/Users", "me")] {
        let text = format!("see {folder}/{rest}\n");
        assert_eq!(wrong("a.md", &text).len(), 1, "{text}");
        assert_eq!(wrong("a.md", &format!("/mnt{folder}/{rest}")).len(), 0);
        assert_eq!(wrong("a.md", &format!("under {folder}/ there are")).len(), 0);
    }
}

#[test]
fn pages_that_are_referred_to_are_there() {
    let exists = |page: &str| page.ends_with("/there.md");
    let check = |text: &str| check_pages("x.rs", &text.replace("D/", "docs/"), exists);
    for good in ["see D/there.md.", "(D/there.md)", "`D/`", "x/D/gone.md", "D/gone.rs"] {
        assert_eq!(check(good), [""; 0], "{good}");
    }
    let wrong = check("\n//! D/design/gone.md: why");
    assert_eq!(wrong.len(), 1);
    assert!(wrong[0].starts_with("x.rs:2: there is no"), "{wrong:?}");
}

#[test]
fn the_core_names_neither_io_nor_a_clock() {
    for io in IO {
        let text = format!("//! X.\nuse {io};\n");
        assert_eq!(wrong(PROTO, &text).len(), 1, "{io}");
        assert_eq!(wrong("crates/resp/src/scan.rs", &text).len(), 1, "{io}");
        assert_eq!(wrong("crates/client/src/x.rs", &text).len(), 0, "{io}");
    }
    assert_eq!(wrong(PROTO, "//! Not std::net.\n// nor std::fs\nlet x = \"std::fs\";\n").len(), 0);
}

#[test]
fn kinds_of_deployment_are_named_where_they_belong() {
    for code in ["struct ClusterNode;", "fn is_cluster() {}", "Kind::Sentinel", "SENTINEL"] {
        let text = format!("//! X.\n{code}\n");
        assert_eq!(wrong(PROTO, &text).len(), 1, "{code}");
        assert_eq!(wrong("crates/proto/src/topology/any.rs", &text).len(), 0, "{code}");
        assert_eq!(wrong("crates/proto/src/config.rs", &text).len(), 0, "{code}");
    }
    // An error code is the server's word, and what a server says is text.
    let text = "//! X.\nCause::ClusterDown => \"-CLUSTERDOWN the cluster is down\", // cluster\n";
    assert_eq!(wrong(PROTO, text), [""; 0]);
}

#[test]
fn what_the_core_depends_on_is_a_closed_list() {
    let found = check_dependencies("redial-proto", &["bytes", "redial-resp"]).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("redial-proto depends on memchr"), "{found:?}");
}
