//! The Helm chart: rendered by Helm's own library, held against the schemas of Kubernetes and of the Prometheus operator, and its
//! configuration against the real program, which a config map changes as the kubelet does it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::daemon::{Setup, program};
use crate::place::{self, PATIENCE};
use crate::wire;

/// The versions of Kubernetes whose schemas are held to: the oldest that the chart takes, and a recent one.
const VERSIONS: [&str; 2] = ["1.27", "1.37"];

/// Renders the chart once for each of these values.
fn rendered(cases: &[Value]) -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(place::helm().unwrap());
    command.arg(root.join("tests/e2e/chart.py")).arg(root.join("deploy/kubernetes/interdict"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(json!(cases).to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn case(values: Value) -> Value {
    json!({ "values": values, "version": VERSIONS[1] })
}

/// Everything that can be switched on.
fn full() -> Value {
    json!({
        "replicas": 3,
        "listen": { "ipv6": true, "allow": ["10.0.0.0/8", "fd00::/8", "127.0.0.0/8", "::1/128"], "proxyFrom": ["10.0.7.1/32"] },
        "config": {
            "upstream": { "servers": ["tls://9.9.9.9#dns.quad9.net"], "timeout_ms": 1500, "strategy": "race" },
            "cache": { "size_mib": 128, "prefetch": false },
            "policy": { "orders": ["us-commerce-2024"], "apply": [{ "order": "us-commerce-2024", "groups": ["lab"], "phase": "monitor" }] },
            "client": { "group": [{ "name": "lab", "networks": ["10.1.0.0/16"] }] },
            "ledger": { "max_mib": 8192, "durability": "strict" },
            "log": { "format": "text" },
        },
        "files": { "ads.txt": "ads.example\nmore.example\n" },
        "existingSecret": "tokens",
        "originSuffix": "corp.example",
        "readiness": { "upstream": true },
        "service": { "loadBalancerIP": "10.0.0.2", "annotations": { "a": "b" }, "ipFamilyPolicy": "PreferDualStack" },
        "networkPolicy": { "clients": [{ "ipBlock": { "cidr": "10.0.0.0/8" } }] },
        "serviceMonitor": { "enabled": true },
        "prometheusRule": { "enabled": true, "labels": { "release": "monitoring" } },
        "dashboard": { "enabled": true },
    })
}

fn of_kind<'a>(case: &'a Value, kind: &str) -> Vec<&'a Value> {
    let documents = case["documents"].as_array().unwrap_or_else(|| panic!("{case}"));
    documents.iter().filter(|document| document["kind"] == kind).collect()
}

#[test]
fn the_chart_renders_what_kubernetes_takes_and_refuses_values_that_are_none() {
    needs!("helm");
    let mut cases: Vec<_> = VERSIONS
        .iter()
        .flat_map(|version| {
            [json!({}), full()].map(|mut values| {
                if *version == VERSIONS[0] {
                    // It came with 1.30, and the library renders for the newest.
                    values["preStopSeconds"] = 0.into();
                }
                json!({ "values": values, "version": version })
            })
        })
        .collect();
    let wrong = [
        json!({ "replicaCout": 3 }),
        json!({ "replicas": "three" }),
        json!({ "config": { "listen": { "dns": ["0.0.0.0:53"] } } }),
        json!({ "service": { "externalTrafficPolicy": "local" } }),
        json!({ "files": { "interdict.toml": "" } }),
        json!({ "files": { "../passwd": "" } }),
        json!({ "image": { "digest": "latest" } }),
    ];
    cases.extend(wrong.iter().cloned().map(case));
    let found = rendered(&cases);
    for (of, values) in found[4..].iter().zip(&wrong) {
        assert!(of["refused"].is_string(), "{values} is taken: {of}");
    }
    for of in &found[..4] {
        let kinds = of["documents"].as_array().unwrap().iter().map(|document| document["kind"].as_str().unwrap());
        let kinds: Vec<_> = kinds.collect();
        for kind in ["StatefulSet", "Service", "ConfigMap", "ServiceAccount", "PodDisruptionBudget", "NetworkPolicy"] {
            assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
        }
    }
    let all = &found[1];
    // What the operator's objects hold is what is tested elsewhere.
    let rules = &of_kind(all, "PrometheusRule")[0]["spec"]["groups"];
    let alerts: usize = rules.as_array().unwrap().iter().map(|group| group["rules"].as_array().unwrap().len()).sum();
    assert_eq!(alerts, include_str!("../../deploy/prometheus/alerts.yaml").matches("- alert: ").count());
    let dashboard =
        of_kind(all, "ConfigMap").into_iter().find_map(|map| map["data"]["interdict.json"].as_str()).unwrap();
    let shipped: Value = serde_json::from_str(include_str!("../../deploy/grafana/interdict.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(dashboard).unwrap(), shipped);
    let monitor = &of_kind(all, "ServiceMonitor")[0]["spec"];
    let wanted = monitor["selector"]["matchLabels"].as_object().unwrap();
    let services = of_kind(all, "Service");
    let selected: Vec<_> = services
        .iter()
        .filter(|service| wanted.iter().all(|(key, value)| service["metadata"]["labels"][key] == *value))
        .collect();
    assert_eq!(selected.len(), 1, "one service has the metrics: {services:?}");
    assert_eq!(monitor["endpoints"][0]["port"], selected[0]["spec"]["ports"][0]["name"]);
}

#[test]
fn an_object_that_the_operator_or_kubernetes_would_refuse_is_refused_here() {
    needs!("helm");
    let all = &rendered(&[case(full())])[0];
    let monitor = || of_kind(all, "ServiceMonitor")[0].clone();
    let rule = || of_kind(all, "PrometheusRule")[0].clone();
    let map = || of_kind(all, "ConfigMap")[0].clone();
    let changed = |mut of: Value, pointer: &str, key: &str, value: Value| {
        of.pointer_mut(pointer).unwrap().as_object_mut().unwrap().insert(key.to_owned(), value);
        of
    };
    let good = [monitor(), rule(), map()];
    let wrong = [
        changed(monitor(), "/spec/endpoints/0", "intervall", json!("30s")),
        changed(monitor(), "/spec/endpoints/0", "interval", json!("1s1h")),
        changed(monitor(), "/spec/endpoints/0/relabelings/0", "action", json!("rename")),
        changed(monitor(), "/spec", "endpoints", json!({})),
        changed(monitor(), "/metadata", "label", json!({})),
        changed(monitor(), "", "apiVersion", json!("monitoring.coreos.com/v2")),
        changed(rule(), "/spec/groups/0/rules/0", "for", json!("soon")),
        changed(rule(), "/spec/groups/0/rules/0", "anotations", json!({})),
        changed(rule(), "/spec/groups/0", "name", json!("")),
        changed(map(), "", "datum", json!({})),
    ];
    let cases = good.iter().chain(&wrong).map(|of| json!({ "document": of, "version": VERSIONS[1] }));
    let judged = rendered(&cases.collect::<Vec<_>>());
    for (place, of) in judged.iter().enumerate() {
        assert_eq!(of["refused"].is_string(), place >= good.len(), "{place}: {of}");
    }
}

#[test]
fn pods_are_restricted_keep_their_records_and_their_clients_addresses() {
    needs!("helm");
    for of in rendered(&[case(json!({})), case(full())]) {
        let set = &of_kind(&of, "StatefulSet")[0]["spec"];
        let pod = &set["template"]["spec"];
        let container = &pod["containers"][0];
        // The profile "restricted" of the pod security standards.
        assert_eq!(pod["containers"].as_array().unwrap().len(), 1);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert!(pod["securityContext"]["runAsUser"].as_u64().unwrap() > 0);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
        assert_eq!(container["securityContext"]["capabilities"], json!({ "drop": ["ALL"] }));
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        for key in ["hostNetwork", "hostPID", "hostIPC"] {
            assert_eq!(pod[key], Value::Null);
        }
        for volume in pod["volumes"].as_array().unwrap() {
            assert!(volume["configMap"].is_object() || volume["secret"].is_object(), "{volume}");
        }
        assert_eq!((&pod["automountServiceAccountToken"], &pod["enableServiceLinks"]), (&false.into(), &false.into()));
        // Records, key and log on a volume of the pod's own, which stays.
        let data =
            container["volumeMounts"].as_array().unwrap().iter().find(|mount| mount["mountPath"] == "/data").unwrap();
        assert_eq!(set["volumeClaimTemplates"][0]["metadata"]["name"], data["name"]);
        assert_eq!(set["persistentVolumeClaimRetentionPolicy"]["whenDeleted"], "Retain");
        // One service, both protocols, clients with their addresses.
        let service = of_kind(&of, "Service").into_iter().find(|of| of["spec"]["clusterIP"] != "None").unwrap();
        assert_eq!(service["spec"]["externalTrafficPolicy"], "Local");
        let ports = service["spec"]["ports"].as_array().unwrap();
        let ports: Vec<_> =
            ports.iter().map(|port| (port["port"].as_u64().unwrap(), port["protocol"].as_str().unwrap())).collect();
        assert_eq!(ports, [(53, "UDP"), (53, "TCP")]);
        // A config map that is mounted file by file never changes.
        assert!(container["volumeMounts"].as_array().unwrap().iter().all(|mount| mount["subPath"] == Value::Null));
    }
}

/// Writes the files of a config map, and returns the environment of the pod, with addresses of this test.
fn laid_out(of: &Value, folder: &Path) -> BTreeMap<String, String> {
    let map = of_kind(of, "ConfigMap").into_iter().find(|map| map["data"]["interdict.toml"].is_string()).unwrap();
    for (name, text) in map["data"].as_object().unwrap() {
        let text = text.as_str().unwrap().replace("/etc/interdict/", &format!("{}/", folder.display()));
        std::fs::write(folder.join(name), text).unwrap();
    }
    let pod = &of_kind(of, "StatefulSet")[0]["spec"]["template"]["spec"]["containers"][0];
    let variables = pod["env"].as_array().unwrap().iter();
    let variables = variables.filter_map(|of| Some((of["name"].as_str()?, of["value"].as_str()?)));
    variables.map(|(name, value)| (name.to_owned(), value.replace("$(POD_NAME)", "dns-interdict-0"))).collect()
}

#[test]
fn the_program_takes_the_configuration_of_the_chart() {
    needs!("helm");
    let lists = json!({ "lists": { "list": [{ "name": "ads", "file": "/etc/interdict/ads.txt" }] } });
    let mut with_list = full();
    with_list["config"]["lists"] = lists["lists"].clone();
    let faulty = json!({ "config": { "upstream": { "servers": "nowhere" }, "cache": { "size_mb": 1 } } });
    for (of, faults) in rendered(&[case(json!({})), case(with_list), case(faulty)]).iter().zip([0, 0, 2]) {
        let folder = tempfile::tempdir().unwrap();
        let variables = laid_out(of, folder.path());
        let mut command = Command::new(program());
        command.arg("check").arg("--config").arg(folder.path().join("interdict.toml"));
        command.envs(&variables).env("INTERDICT_DATA_DIR", folder.path().join("data"));
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(if faults == 0 { 0 } else { 78 }), "{told}");
        assert!(faults == 0 || told.lines().count() == faults, "{told}");
    }
}

/// Lays the files of a config map out as the kubelet does: in a folder of their own, to which `..data` leads, and each file's
/// link through that.
fn publish(mount: &Path, round: u32, config: &str) {
    let own = format!("..{round}");
    std::fs::create_dir(mount.join(&own)).unwrap();
    std::fs::write(mount.join(&own).join("interdict.toml"), config).unwrap();
    let (new, data) = (mount.join("..data_tmp"), mount.join("..data"));
    let before = std::fs::read_link(&data).ok();
    std::os::unix::fs::symlink(&own, &new).unwrap();
    std::fs::rename(&new, &data).unwrap();
    let link = mount.join("interdict.toml");
    if !link.is_symlink() {
        std::os::unix::fs::symlink("..data/interdict.toml", &link).unwrap();
    }
    if let Some(before) = before {
        std::fs::remove_dir_all(mount.join(before)).unwrap();
    }
}

#[test]
fn a_config_map_that_changes_is_loaded_without_a_signal_and_a_bad_one_is_not() {
    let mut setup = Setup::new().set("daemon.reload_on_change", true).set("policy.orders", Vec::<String>::new());
    let mount: PathBuf = setup.folder.path().join("mount");
    std::fs::create_dir(&mount).unwrap();
    let text = |setup: &Setup| toml::to_string(&setup.table).unwrap();
    publish(&mount, 1, &text(&setup));
    let file = mount.join("interdict.toml");
    setup = setup.config_file(&file);
    let mut table = setup.table.clone();
    let daemon = setup.start();
    let rcode = || wire::rcode(&wire::udp(daemon.dns, &wire::query("upd.kaspersky.com", wire::A)));
    assert_eq!(rcode(), wire::SERVFAIL, "no order is chosen, and nobody is at its upstream");
    let orders = |table: &mut toml::Table, orders: Vec<toml::Value>| {
        table["policy"].as_table_mut().unwrap().insert("orders".to_owned(), orders.into());
        toml::to_string(table).unwrap()
    };
    publish(&mount, 2, &orders(&mut table, vec!["us-commerce-2024".into()]));
    place::until(PATIENCE, "the order to be in force", || (rcode() == wire::NXDOMAIN).then_some(()));
    publish(&mount, 3, &orders(&mut table, vec!["no-such-order".into()]));
    place::until(PATIENCE, "the refusal", || {
        (daemon.metric("interdict_reloads_total{result=\"refused\"}") == 1.0).then_some(())
    });
    assert_eq!(rcode(), wire::NXDOMAIN);
    publish(&mount, 4, &orders(&mut table, Vec::new()));
    place::until(PATIENCE, "the order to be out of force", || (rcode() == wire::SERVFAIL).then_some(()));
    // A file that comes later than the configuration that names it.
    let late = mount.join("late.toml");
    publish(&mount, 5, &orders(&mut table, vec![late.display().to_string().into()]));
    place::until(PATIENCE, "the refusal", || {
        (daemon.metric("interdict_reloads_total{result=\"refused\"}") == 2.0).then_some(())
    });
    std::fs::write(&late, crate::clock::ORDER).unwrap();
    place::until(PATIENCE, "the order to be in force", || (rcode() == wire::NXDOMAIN).then_some(()));
    let by = format!("file {}", file.display());
    place::until(PATIENCE, "the changes to be listed", || {
        let changes = daemon.json(&["changes", "--json"]);
        let own = changes.iter().filter(|change| change["by"] == by.as_str());
        (own.map(|change| change["accepted"] == true).collect::<Vec<_>>() == [false, true, false, true]).then_some(())
    });
    // The last one counts once its lists are there.
    place::until(PATIENCE, "each to count once", || (daemon.metric("interdict_reloads_total") == 5.0).then_some(()));
}
