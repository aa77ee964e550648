//! Files that start memcached in containers: compose files, Kubernetes manifests, values of Helm
//! charts; and how each of them publishes its port.

use model::Transport;

use super::options::PORT_DEFAULT;
use super::place::{ConfigFile, ConfigKind, Place, Service, Setting, Word};
use super::shell::{Dialect, placed, words};
use super::yaml::{Node, Yaml};

/// Services of one file; more are left out, and that is said.
const SERVICES_MAX: usize = 1000;
/// Ports of one service.
const PORTS_MAX: usize = 256;
/// Mappings of a chart's values that are looked into.
const STEPS_MAX: usize = 10_000;

/// A port of a container that is handed on to it from outside of its own network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// `tcp` or `udp`.
    pub transport: Transport,
    /// The address of the host it is published on; none: all of them.
    pub host_address: Option<String>,
    /// The port on the host; none: one that is chosen at the start.
    pub host_port: Option<u16>,
    /// The container's own address, where it is known.
    pub container_address: Option<String>,
    /// The port in the container.
    pub container_port: u16,
    /// Who does it: `ports`, `hostPort`, `NodePort`, `LoadBalancer`, `docker-proxy`, `DNAT`.
    pub by: &'static str,
    /// Where it is written, if in a file.
    pub place: Option<Place>,
}

/// Reads a YAML file of one of the three kinds, which it tells from what the file says.
pub fn manifest(path: &str, text: &str) -> ConfigFile {
    let yaml = Yaml::parse(text);
    let first = yaml.documents().next();
    let has = |key: &str| first.is_some_and(|node| node.find(key).is_some());
    let kind = if yaml
        .documents()
        .any(|node| node.find("apiVersion").is_some())
    {
        ConfigKind::Kubernetes
    } else if has("services") {
        ConfigKind::Compose
    } else {
        ConfigKind::HelmValues
    };
    let mut file = ConfigFile::new(path, kind);
    file.anomalies.extend(yaml.anomaly.clone());
    match (kind, first) {
        (ConfigKind::Kubernetes, _) => kubernetes(&yaml, &mut file),
        (ConfigKind::Compose, Some(root)) => compose(root, &mut file),
        (_, Some(root)) => helm_values(root, &mut file),
        (_, None) => file.anomalies.push("the file is empty".to_owned()),
    }
    if file.services.len() > SERVICES_MAX {
        file.services.truncate(SERVICES_MAX);
        file.anomalies
            .push(format!("more than {SERVICES_MAX} services"));
    }
    file
}

fn compose(root: Node<'_>, file: &mut ConfigFile) {
    let Some(services) = root.find("services") else {
        return;
    };
    for (name, service) in services.pairs().take(SERVICES_MAX + 1) {
        let image = service
            .find("image")
            .and_then(Node::text)
            .unwrap_or_default();
        let mut command = command_of(service.find("entrypoint"), &file.path);
        command.extend(command_of(service.find("command"), &file.path));
        if !starts_memcached(image, name, &command) {
            continue;
        }
        let in_host = matches!(service.text_at(&["network_mode"]), Some("host"));
        let mut published = Vec::new();
        for port in service
            .find("ports")
            .into_iter()
            .flat_map(Node::items)
            .take(PORTS_MAX)
        {
            let line = port.line();
            match compose_port(port, &file.path) {
                Some(ports) => {
                    file.settings.push(Setting {
                        name: format!("services.{name}.ports"),
                        value: port.text().unwrap_or("(long form)").to_owned(),
                        place: Place::new(&file.path, line),
                    });
                    published.extend(ports);
                }
                None => file
                    .anomalies
                    .push(format!("line {line}: a port that cannot be read")),
            }
        }
        file.services.push(Service {
            name: name.to_owned(),
            kind: ConfigKind::Compose,
            path: file.path.clone(),
            files: vec![file.path.clone()],
            words: with_program(command),
            published: (!in_host).then_some(published),
            is_enabled: None,
        });
    }
}

/// A command as a list, or as one line that a shell would split.
fn command_of(node: Option<Node<'_>>, path: &str) -> Vec<Word> {
    let Some(node) = node else { return Vec::new() };
    if let Some(text) = node.text() {
        let split = words(&placed(text, node.line()), Dialect::Shell);
        let at = Place::new(path, node.line());
        return split
            .into_iter()
            .map(|word| Word::at(word.text, &at))
            .collect();
    }
    node.items()
        .take(PORTS_MAX)
        .filter_map(|item| {
            item.text()
                .map(|text| Word::at(text, &Place::new(path, item.line())))
        })
        .collect()
}

/// Whether a container is one of memcached: by its command, or else by its image.
fn starts_memcached(image: &str, name: &str, command: &[Word]) -> bool {
    let program = command
        .iter()
        .find(|word| !word.text.contains("entrypoint"));
    if let Some(program) = program.filter(|word| !word.text.starts_with('-')) {
        let is_shell = matches!(
            program.text.as_str(),
            "sh" | "bash" | "/bin/sh" | "/bin/bash"
        );
        if is_shell {
            return command.iter().any(|word| word.text.contains("memcached"));
        }
        return super::files::is_memcached(&program.text);
    }
    let last = image.rsplit('/').next().unwrap_or_default();
    let repository = last.split([':', '@']).next().unwrap_or_default();
    let tells = if image.is_empty() { name } else { repository };
    tells.contains("memcached") && !tells.contains("exporter")
}

/// The program before the arguments, as the official image's entry point puts it.
fn with_program(mut command: Vec<Word>) -> Vec<Word> {
    if let Some(shell) = command.iter().position(|word| word.text == "-c") {
        let inner: Vec<Word> = command[shell + 1..]
            .iter()
            .flat_map(|word| {
                let place = word.place.clone();
                word.text
                    .split_whitespace()
                    .map(move |text| Word {
                        text: text.to_owned(),
                        place: place.clone(),
                    })
                    .collect::<Vec<Word>>()
            })
            .collect();
        if inner
            .iter()
            .any(|word| super::files::is_memcached(&word.text))
        {
            command = inner;
        }
    }
    if let Some(begin) = command
        .iter()
        .position(|word| super::files::is_memcached(&word.text))
    {
        return command.split_off(begin);
    }
    command.retain(|word| !word.text.contains("entrypoint"));
    command.insert(0, Word::bare("memcached"));
    command
}

/// One entry of `ports`: the short form `[ADDRESS:][HOST:]CONTAINER[/udp]`, with ranges, or the
/// long one with its keys.
fn compose_port(port: Node<'_>, path: &str) -> Option<Vec<Published>> {
    let place = Some(Place::new(path, port.line()));
    let one = |transport, host_address: Option<&str>, host_port, container_port| Published {
        transport,
        host_address: host_address.map(str::to_owned),
        host_port,
        container_address: None,
        container_port,
        by: "ports",
        place: place.clone(),
    };
    let Some(text) = port.text() else {
        let target = defaulted(port.text_at(&["target"])?).parse().ok()?;
        let transport = transport_of(port.text_at(&["protocol"]).unwrap_or("tcp"))?;
        let address = port.text_at(&["host_ip"]);
        let (first, _) = range(&defaulted(port.text_at(&["published"]).unwrap_or_default()))?;
        return Some(vec![one(transport, address, first, target)]);
    };
    let text = defaulted(text);
    let (ports, protocol) = text.split_once('/').unwrap_or((&text, "tcp"));
    let transport = transport_of(protocol)?;
    let (rest, container) = ports.rsplit_once(':').unwrap_or(("", ports));
    let (address, host) = match rest.rsplit_once(':') {
        Some((address, host)) => (Some(address.trim_matches(['[', ']'])), host),
        // `127.0.0.1::11211` has an address and no port; `11211:11211` has a port.
        None => (None, rest),
    };
    let (Some(first), Some(last)) = range(container)? else {
        return None;
    };
    let (host_first, _) = range(host)?;
    let last = last.min(first.saturating_add(u16::try_from(PORTS_MAX).unwrap_or(u16::MAX)));
    let ports = (first..=last).map(|container| {
        let host = host_first.and_then(|host| host.checked_add(container - first));
        one(transport, address, host, container)
    });
    Some(ports.collect())
}

/// `5`, `5-7`, or nothing at all.
fn range(text: &str) -> Option<(Option<u16>, Option<u16>)> {
    if text.is_empty() {
        return Some((None, None));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((Some(first), Some(last)))
}

fn transport_of(word: &str) -> Option<Transport> {
    match word.to_ascii_lowercase().as_str() {
        "tcp" => Some(Transport::Tcp),
        "udp" => Some(Transport::Udp),
        _ => None,
    }
}

/// Puts the defaults of `${NAME:-default}` and `${NAME-default}` in.
fn defaulted(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        result.push_str(before);
        let Some((inside, after)) = after.split_once('}') else {
            break;
        };
        let default = inside.split_once(":-").or_else(|| inside.split_once('-'));
        result.push_str(default.map_or("?", |(_, default)| default));
        rest = after;
    }
    result.push_str(rest);
    result
}

fn kubernetes(yaml: &Yaml, file: &mut ConfigFile) {
    let mut objects: Vec<Node<'_>> = Vec::new();
    for document in yaml.documents().take(SERVICES_MAX) {
        if document.text_at(&["kind"]) == Some("List") {
            objects.extend(document.find("items").into_iter().flat_map(Node::items));
        } else {
            objects.push(document);
        }
    }
    objects.truncate(SERVICES_MAX);
    // Labels of the pods that were found, beside their place in the file's services.
    let mut labels: Vec<(usize, Vec<(String, String)>)> = Vec::new();
    for object in &objects {
        workload(*object, file, &mut labels);
    }
    for object in objects {
        if object.text_at(&["kind"]) == Some("Service") {
            kubernetes_service(object, file, &labels);
        }
    }
}

fn workload(
    object: Node<'_>,
    file: &mut ConfigFile,
    labels: &mut Vec<(usize, Vec<(String, String)>)>,
) {
    let kind = object.text_at(&["kind"]).unwrap_or_default();
    let template = match kind {
        "Pod" => Some(object),
        "CronJob" => object.node_at(&["spec", "jobTemplate", "spec", "template"]),
        _ => object.node_at(&["spec", "template"]),
    };
    let Some(template) = template else { return };
    let Some(spec) = template.find("spec") else {
        return;
    };
    let in_host = spec.find("hostNetwork").is_some_and(Node::is_true);
    for container in spec
        .find("containers")
        .into_iter()
        .flat_map(Node::items)
        .take(PORTS_MAX)
    {
        let image = container.text_at(&["image"]).unwrap_or_default();
        let name = container.text_at(&["name"]).unwrap_or_default();
        let mut command = command_of(container.find("command"), &file.path);
        command.extend(command_of(container.find("args"), &file.path));
        if !starts_memcached(image, name, &command) {
            continue;
        }
        let ports = container
            .find("ports")
            .into_iter()
            .flat_map(Node::items)
            .take(PORTS_MAX);
        let published = ports
            .filter_map(|port| host_port(port, &file.path))
            .collect();
        let object_name = object.text_at(&["metadata", "name"]).unwrap_or(name);
        let own_labels = template.node_at(&["metadata", "labels"]);
        let own_labels = own_labels.into_iter().flat_map(Node::pairs);
        labels.push((
            file.services.len(),
            own_labels
                .filter_map(|(key, value)| Some((key.to_owned(), value.text()?.to_owned())))
                .collect(),
        ));
        file.services.push(Service {
            name: format!("{kind}/{object_name}"),
            kind: ConfigKind::Kubernetes,
            path: file.path.clone(),
            files: vec![file.path.clone()],
            words: with_program(command),
            published: (!in_host).then_some(published),
            is_enabled: None,
        });
    }
}

fn host_port(port: Node<'_>, path: &str) -> Option<Published> {
    let host = port.find("hostPort")?;
    Some(Published {
        transport: transport_of(port.text_at(&["protocol"]).unwrap_or("TCP"))?,
        host_address: port.text_at(&["hostIP"]).map(str::to_owned),
        host_port: Some(host.text()?.parse().ok()?),
        container_address: None,
        container_port: port.text_at(&["containerPort"])?.parse().ok()?,
        by: "hostPort",
        place: Some(Place::new(path, host.line())),
    })
}

/// A Service that lets the outside in, added to the pods it selects, or standing for itself where
/// they are in another file and its name or port says memcached.
fn kubernetes_service(
    object: Node<'_>,
    file: &mut ConfigFile,
    labels: &[(usize, Vec<(String, String)>)],
) {
    let Some(spec) = object.find("spec") else {
        return;
    };
    let kind = spec.find("type");
    let by = match (kind.and_then(Node::text), spec.find("externalIPs")) {
        (Some("LoadBalancer"), _) => "LoadBalancer",
        (Some("NodePort"), _) => "NodePort",
        (_, Some(_)) => "externalIPs",
        _ => return,
    };
    let line = kind
        .or_else(|| spec.find("externalIPs"))
        .map_or(object.line(), Node::line);
    let name = object.text_at(&["metadata", "name"]).unwrap_or("?");
    let ports: Vec<Node<'_>> = spec
        .find("ports")
        .into_iter()
        .flat_map(Node::items)
        .take(PORTS_MAX)
        .collect();
    let published: Vec<Published> = ports
        .iter()
        .filter_map(|port| service_port(*port, by, &Place::new(&file.path, line)))
        .collect();
    let wanted: Vec<(&str, &str)> = spec
        .find("selector")
        .into_iter()
        .flat_map(Node::pairs)
        .filter_map(|(key, value)| Some((key, value.text()?)))
        .collect();
    let mut was_matched = false;
    for (index, labels) in labels {
        let has = |(key, value): &(&str, &str)| {
            labels
                .iter()
                .any(|(known, held)| known == key && held == value)
        };
        if !wanted.is_empty() && wanted.iter().all(has) {
            was_matched = true;
            if let Some(known) = &mut file.services[*index].published {
                known.extend(published.iter().cloned());
            }
        }
    }
    let is_ours = name.contains("memcached")
        || published
            .iter()
            .any(|port| port.container_port == PORT_DEFAULT);
    if !was_matched && is_ours {
        file.services.push(Service {
            name: format!("Service/{name}"),
            kind: ConfigKind::Kubernetes,
            path: file.path.clone(),
            files: vec![file.path.clone()],
            words: vec![Word::bare("memcached")],
            published: Some(published),
            is_enabled: None,
        });
    }
}

fn service_port(port: Node<'_>, by: &'static str, place: &Place) -> Option<Published> {
    let outer: u16 = port.text_at(&["port"])?.parse().ok()?;
    // A target may be a name of the container's port, or left out: then it is the same.
    let target = port
        .text_at(&["targetPort"])
        .and_then(|target| target.parse().ok());
    let node_port = port
        .text_at(&["nodePort"])
        .and_then(|port| port.parse().ok());
    let is_node_port = by == "NodePort";
    Some(Published {
        transport: transport_of(port.text_at(&["protocol"]).unwrap_or("TCP"))?,
        host_address: None,
        host_port: if is_node_port { node_port } else { Some(outer) },
        container_address: None,
        container_port: target.unwrap_or(outer),
        by,
        place: Some(place.clone()),
    })
}

/// Values of a chart: `service.type`, `hostNetwork`, `args`; at the root of memcached's own chart,
/// below `memcached` in a chart that contains it.
fn helm_values(root: Node<'_>, file: &mut ConfigFile) {
    let mut waiting: Vec<(String, Node<'_>)> = vec![(String::new(), root)];
    let mut steps = 0;
    while let Some((path, node)) = waiting.pop() {
        steps += 1;
        if steps > STEPS_MAX {
            file.anomalies
                .push("too many values, the rest is left".to_owned());
            break;
        }
        if is_memcached_values(&path, node) {
            helm_service(&path, node, file);
        }
        // Two levels of charts in charts are as deep as values are laid out.
        if path.matches('.').count() < 2 {
            waiting.extend(
                node.pairs()
                    .filter(|(key, _)| *key != "<<")
                    .map(|(key, value)| {
                        let path = if path.is_empty() {
                            key.to_owned()
                        } else {
                            format!("{path}.{key}")
                        };
                        (path, value)
                    }),
            );
        }
    }
    if file.services.is_empty() {
        file.anomalies
            .push("nothing in it starts memcached".to_owned());
    }
}

fn is_memcached_values(path: &str, node: Node<'_>) -> bool {
    let named = path
        .rsplit('.')
        .next()
        .is_some_and(|key| key.contains("memcached"));
    let image = node
        .node_at(&["image", "repository"])
        .or_else(|| node.find("image"));
    let by_image = image
        .and_then(Node::text)
        .is_some_and(|image| image.contains("memcached"));
    (named || by_image) && node.pairs().next().is_some()
}

fn helm_service(path: &str, node: Node<'_>, file: &mut ConfigFile) {
    let in_host = node.find("hostNetwork").is_some_and(Node::is_true);
    let mut published = Vec::new();
    if let Some(kind) = node.node_at(&["service", "type"])
        && let Some(by) = match kind.text() {
            Some("LoadBalancer") => Some("LoadBalancer"),
            Some("NodePort") => Some("NodePort"),
            _ => None,
        }
    {
        let port = ["port", "servicePort"]
            .iter()
            .find_map(|key| node.text_at(&["service", key]))
            .or_else(|| node.text_at(&["service", "ports", "memcached"]))
            .and_then(|port| port.parse().ok())
            .unwrap_or(PORT_DEFAULT);
        let place = Place::new(&file.path, kind.line());
        file.settings.push(Setting {
            name: [path, "service.type"]
                .join(".")
                .trim_start_matches('.')
                .to_owned(),
            value: by.to_owned(),
            place: place.clone(),
        });
        published.push(Published {
            transport: Transport::Tcp,
            host_address: None,
            host_port: (by != "NodePort").then_some(port),
            container_address: None,
            container_port: PORT_DEFAULT,
            by,
            place: Some(place),
        });
    }
    let mut words = vec![Word::bare("memcached")];
    for key in ["args", "arguments", "extraArgs"] {
        words.extend(command_of(node.find(key), &file.path));
    }
    // A chart's list may name the program, or the image's run script, itself.
    if words.get(1).is_some_and(|word| !word.text.starts_with('-')) {
        words.remove(1);
    }
    if let Some(enabled) = node
        .node_at(&["auth", "enabled"])
        .filter(|enabled| enabled.is_true())
    {
        words.push(Word::at("-S", &Place::new(&file.path, enabled.line())));
    }
    file.services.push(Service {
        name: if path.is_empty() {
            "memcached".to_owned()
        } else {
            path.to_owned()
        },
        kind: ConfigKind::HelmValues,
        path: file.path.clone(),
        files: vec![file.path.clone()],
        words,
        published: (!in_host).then_some(published),
        is_enabled: None,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One line for a service: its name, its words, and each port as `address:host>container/t@line`.
    fn summary(file: &ConfigFile) -> Vec<String> {
        let services = file.services.iter().map(|service| {
            let words: Vec<&str> = service
                .words
                .iter()
                .map(|word| word.text.as_str())
                .collect();
            let ports = match &service.published {
                None => " host".to_owned(),
                Some(ports) => ports.iter().map(port).collect(),
            };
            format!("{}: {}{ports}", service.name, words.join(" "))
        });
        services.collect()
    }

    fn port(port: &Published) -> String {
        format!(
            " {}:{}>{}/{}@{}",
            port.host_address.as_deref().unwrap_or("*"),
            port.host_port
                .map_or("?".to_owned(), |port| port.to_string()),
            port.container_port,
            port.transport,
            port.place.as_ref().map_or(0, |place| place.line),
        )
    }

    #[track_caller]
    fn check(text: &str, kind: ConfigKind, expected: &[&str]) {
        let file = manifest("/f.yaml", text);
        assert_eq!(file.kind, kind);
        assert_eq!(summary(&file), expected, "{:?}", file.anomalies);
    }

    #[test]
    fn compose_files() {
        check(
            "services:\n  cache:\n    image: memcached:1.6\n    ports:\n      - \"11211:11211\"\n      \
             - 127.0.0.1:11212:11211/tcp\n      - \"[::1]:11213:11211/udp\"\n      - \"11211\"\n      \
             - \"${P:-12000}-12001:11211-11212\"\n  web:\n    image: nginx\n    ports: [\"80:80\"]\n",
            ConfigKind::Compose,
            &[
                "cache: memcached *:11211>11211/tcp@5 127.0.0.1:11212>11211/tcp@6 \
               ::1:11213>11211/udp@7 *:?>11211/tcp@8 *:12000>11211/tcp@9 *:12001>11212/tcp@9",
            ],
        );
        check(
            "services:\n  a:\n    image: registry:5000/x/memcached@sha256:1\n    command: -m 64 '-l' 0.0.0.0\n    \
             ports:\n      - target: 11211\n        published: \"11211\"\n        host_ip: 10.0.0.1\n        \
             protocol: udp\n  b:\n    image: app\n    command: [memcached, -vv]\n    network_mode: host\n  \
             c:\n    image: prom/memcached-exporter\n  d:\n    image: x\n    command: sh -c 'exec memcached -U 0'\n",
            ConfigKind::Compose,
            &[
                "a: memcached -m 64 -l 0.0.0.0 10.0.0.1:11211>11211/udp@6",
                "b: memcached -vv host",
                "d: memcached -U 0",
            ],
        );
        let file = manifest(
            "/f.yaml",
            "services:\n  m:\n    image: memcached\n    ports: [\"x\", \"${P}:1\"]\n",
        );
        assert_eq!(file.anomalies.len(), 2);
    }

    #[test]
    fn kubernetes_manifests() {
        check(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: cache}\nspec:\n  template:\n    \
             metadata: {labels: {app: cache}}\n    spec:\n      containers:\n      - name: m\n        \
             image: memcached:1.6\n        args: [\"-m\", \"64\"]\n        ports:\n        - containerPort: 11211\n          \
             hostPort: 11211\n---\napiVersion: v1\nkind: Service\nmetadata: {name: cache}\nspec:\n  type: LoadBalancer\n  \
             selector: {app: cache}\n  ports:\n  - port: 11212\n    targetPort: 11211\n",
            ConfigKind::Kubernetes,
            &["Deployment/cache: memcached -m 64 *:11211>11211/tcp@14 *:11212>11211/tcp@20"],
        );
        check(
            "apiVersion: v1\nkind: List\nitems:\n- kind: Service\n  metadata: {name: x}\n  spec:\n    type: NodePort\n    \
             ports: [{port: 11211, nodePort: 31211, protocol: UDP}]\n- kind: Service\n  metadata: {name: y}\n  spec:\n    \
             ports: [{port: 11211}]\n- kind: Pod\n  metadata: {name: p}\n  spec:\n    hostNetwork: true\n    containers:\n    \
             - image: memcached\n",
            // A list has no apiVersion in its items; the list itself has.
            ConfigKind::Kubernetes,
            &[
                "Pod/p: memcached host",
                "Service/x: memcached *:31211>11211/udp@7",
            ],
        );
    }

    #[test]
    fn values_of_charts() {
        check(
            "image:\n  repository: bitnami/memcached\nservice:\n  type: LoadBalancer\n  ports: {memcached: 11299}\nauth:\n  enabled: true\n",
            ConfigKind::HelmValues,
            &["memcached: memcached -S *:11299>11211/tcp@4"],
        );
        check(
            "web: {replicas: 1}\nmemcached:\n  args: [/run.sh, -l, 0.0.0.0]\n  service:\n    type: ClusterIP\n",
            ConfigKind::HelmValues,
            &["memcached: memcached -l 0.0.0.0"],
        );
        let file = manifest("/values.yaml", "a: 1\n");
        assert_eq!(file.anomalies, ["nothing in it starts memcached"]);
        assert_eq!(
            manifest("/values.yaml", "").anomalies,
            ["the file is empty"]
        );
    }
}
