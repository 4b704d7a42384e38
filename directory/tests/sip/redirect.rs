//! The SIP redirect server, called by SIPp.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use trunkline_directory::Directory;

use crate::support::api::Api;
use crate::support::{ADMIN, Files, TABLE, TOKENS};

/// Calls a number and wants this status, with these expressions in the header of the answer.
fn scenario(status: u16, wanted: &[(&str, &str)]) -> String {
    let checks: String = wanted
        .iter()
        .enumerate()
        .map(|(place, (header, expression))| {
            let variable = place + 1;
            let expression = expression.replace('<', "&lt;").replace('>', "&gt;");
            format!(
                "<ereg regexp=\"{expression}\" search_in=\"hdr\" header=\"{header}:\" \
                 check_it=\"true\" assign_to=\"{variable}\"/><log message=\"[${variable}]\"/>"
            )
        })
        .collect();
    let common = "\
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
From: <sip:switch@[local_ip]:[local_port]>;tag=[call_number]
Call-ID: [call_id]
Max-Forwards: 70
Contact: <sip:switch@[local_ip]:[local_port];transport=[transport]>
Content-Length: 0
";
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><scenario name=\"redirect\">
<send retrans=\"500\"><![CDATA[

INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
To: <sip:[service]@[remote_ip]:[remote_port]>
CSeq: 1 INVITE
{common}
]]></send>
<recv response=\"100\" optional=\"true\"/>
<recv response=\"{status}\"><action>{checks}</action></recv>
<send><![CDATA[

ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0
To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
CSeq: 1 ACK
{common}
]]></send>
</scenario>"
    )
}

/// False, with the reason, where SIPp is not installed; in CI that is a failure.
async fn call(to: SocketAddr, transport: &str, number: &str, scenario: &str) -> bool {
    const CALLS: &str = "20";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("redirect.xml"), scenario).unwrap();
    let child = Command::new("sipp")
        .args([&to.to_string(), "-sf", "redirect.xml", "-s", number, "-t", transport])
        .args(["-i", "127.0.0.1", "-nostdin", "-m", CALLS, "-r", "200", "-timeout", "10"])
        .args(["-trace_err", "-error_file", "errors"])
        .current_dir(folder.path())
        .env("TERM", "dumb")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "sipp must be installed: {error}");
            println!("skipped: sipp: {error}");
            return false;
        }
    };
    let status = tokio::time::timeout(Duration::from_secs(15), child.wait()).await;
    let errors = std::fs::read_to_string(folder.path().join("errors")).unwrap_or_default();
    assert!(status.unwrap().unwrap().success(), "{number} by {transport}: {errors}");
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sipp_is_sent_to_the_gateways_or_told_why_not() {
    let ported = "  - prefix: '+81-52-123'\n    gateways: [{ name: a }]\n    rn: '+81399990000'\n";
    let files = Files::new(&format!("{TABLE}{ported}"));
    files.write_configuration(&format!(
        "listen: [127.0.0.1:0]\nhttp: 127.0.0.1:0\nsip: ['127.0.53.2:5060']\n\
         table: table.yaml\n{TOKENS}"
    ));
    let directory = Directory::start(&files.configuration()).await.unwrap();
    let api = Api { address: directory.http().unwrap(), token: Some(ADMIN.into()) };
    let drain = serde_json::json!({ "drain": true });
    assert_eq!(api.put("/v1/gateways/b/drain", drain.clone()).await.0, 204);
    let to = directory.sip()[0];
    for transport in ["u1", "t1"] {
        let number = "[+]81333331234";
        let first = format!("<sip:{number}@127.0.0.10:5060>;q=0.9;expires=60");
        for (called, scenario) in [
            ("+81333331234", scenario(302, &[("Contact", &first)])),
            ("03-3333-1234", scenario(302, &[("Contact", &first)])),
            // Gateway b drains.
            ("+81469595678", scenario(302, &[("Contact", "@127.0.0.10:5060>;q=0.9")])),
            ("+81521234567", scenario(302, &[("Contact", ";npdi;rn=[+]81399990000@")])),
            ("+4930123456", scenario(404, &[("Reason", "Q.850;cause=1")])),
            ("alice", scenario(404, &[("Reason", "Q.850;cause=28")])),
        ] {
            if !call(to, transport, called, &scenario).await {
                return directory.stop().await;
            }
        }
    }
    assert_eq!(api.put("/v1/gateways/a/drain", drain).await.0, 204);
    let out = scenario(503, &[("Reason", "Q.850;cause=34")]);
    call(to, "u1", "+81333331234", &out).await;
    let (_, metrics) = api.send("GET", "/metrics", None).await;
    for (kind, count) in [("gateways", 160), ("unknown", 40), ("no_number", 40), ("no_gateway", 20)]
    {
        let line = format!("trunkline_directory_redirects_total{{kind=\"{kind}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
    directory.stop().await;
}
