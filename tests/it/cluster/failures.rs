//! What may go wrong with a rollout, and how it is brought about: each is a small overlay over the model service of the story.

/// One way to fail.
pub struct Failure {
    /// What has gone wrong, in the words of the table; as a namespace it has dashes.
    pub name: &'static str,
    /// The version to roll out; see [`VERSIONS`].
    pub version: &'static str,
    /// Lines of the overlay's kustomization.
    pub overlay: &'static str,
    /// What has to be said somewhere before anything is written down.
    pub until: &'static str,
}

/// A version of the model in the store: its name and its lines. `{changed}` versions are changed after they were published.
pub const VERSIONS: [(&str, &str); 9] = [
    ("v2.3", "name product-recommendation\nweight 2\nbias 0.5\n"),
    ("v2.5", "name product-recommendation\nweight 2.0625\nbias 0.5\n"),
    ("v2.6", "name fraud-detection\nweight 2\nbias 0.5\n"),
    ("v2.7", "name product-recommendation\nweight 3\nbias 0.5\n"),
    ("v2.8", "name product-recommendation\nweight two\nbias 0.5\n"),
    ("v3.0-slow", "name product-recommendation\nweight 2\nbias 0.5\nload_seconds 3600\n"),
    ("v3.1-hungry", "name product-recommendation\nweight 2\nbias 0.5\nallocate_mib 512\n"),
    ("v3.2-tired", "name product-recommendation\nweight 2\nbias 0.5\nanswers 40\n"),
    // 24 MiB of a comment.
    ("v3.3-large", "name product-recommendation\nweight 2\nbias 0.5\n{large}"),
];

/// The version whose bytes are changed in the store, and what they become: as many as before.
pub const CHANGED: (&str, &str) = ("v2.5", "name product-recommendation\nweight 9.0625\nbias 0.5\n");

/// A patch of a container, an init container if it is one, beside the sidecar, which comes first.
macro_rules! patch {
    ($($lines:literal)*) => {
        concat!(
            "patches:\n- target: {kind: Deployment}\n  patch: |\n    apiVersion: apps/v1\n    kind: Deployment\n",
            "    metadata: {name: any}\n    spec:\n      template:\n        spec:\n",
            $("          ", $lines, "\n",)*
        )
    };
}

/// Every failure of the table, in its order.
pub const FAILURES: &[Failure] = &[
    Failure {
        name: "the version is not in the registry",
        version: "v9.9",
        overlay: "",
        until: "does not exist",
    },
    Failure {
        name: "the model is not in the registry",
        version: "v2.3",
        overlay: "configMapGenerator:\n- {name: model, behavior: merge, literals: [model_name=product-recomendation]}\n",
        until: "does not exist",
    },
    Failure {
        name: "the credentials are refused",
        version: "v2.3",
        overlay: "secretGenerator:\n- {name: e2e-store, behavior: merge, literals: [AWS_SECRET_ACCESS_KEY=wrong]}\n",
        until: "403 Forbidden",
    },
    Failure {
        name: "the store is down",
        version: "v2.3",
        overlay: patch!(
            "initContainers:" "- name: health-sidecar" "- name: fetcher"
            "  env: [{name: AWS_ENDPOINT_URL, value: 'http://store.plimsoll-e2e:81'}, {name: FETCHER_DEADLINE, value: 5s}]"
        ),
        until: "cannot reach store.plimsoll-e2e:81",
    },
    Failure {
        name: "the address of the store is misspelled",
        version: "v2.3",
        overlay: patch!(
            "initContainers:" "- name: health-sidecar" "- name: fetcher"
            "  env: [{name: AWS_ENDPOINT_URL, value: 'http://stor.plimsoll-e2e'}, {name: FETCHER_DEADLINE, value: 5s}]"
        ),
        until: "cannot reach stor.plimsoll-e2e",
    },
    Failure { name: "a checksum is wrong", version: "v2.5", overlay: "", until: "checksum mismatch" },
    Failure {
        name: "the digest is not the pinned one",
        version: "v2.3",
        overlay: patch!(
            "initContainers:" "- name: health-sidecar" "- name: fetcher"
            "  env: [{name: MODEL_DIGEST, value: 'sha256:0000000000000000000000000000000000000000000000000000000000000000'}]"
        ),
        until: "digest",
    },
    Failure {
        name: "the model is not signed",
        version: "v2.3",
        overlay: "components: [../plimsoll/k8s/components/trust/key]\n",
        until: "has no model.sig",
    },
    Failure {
        name: "the volume is too small",
        version: "v3.3-large",
        overlay: patch!(
            "volumes:" "- {name: model, emptyDir: {medium: Memory, sizeLimit: 256Ki}}"
        ),
        until: "space",
    },
    Failure {
        // The fetcher itself gets by with three mebibytes, and refuses a volume in memory that is too small for it: so another program
        // is in its place here.
        name: "the fetcher is killed for memory",
        version: "v2.3",
        overlay: concat!(
            patch!(
                "volumes:"
                "- {name: hungry, configMap: {name: hungry}}"
                "initContainers:"
                "- name: health-sidecar"
                "- name: fetcher"
                "  image: plimsoll.test/e2e-server:dev"
                "  command: [/e2e-server]"
                "  args: [/hungry/model.txt, '9']"
                "  volumeMounts: [{name: hungry, mountPath: /hungry}]"
                "  resources: {requests: {memory: 32Mi}, limits: {memory: 32Mi}}"
            ),
            "configMapGenerator:\n- {name: hungry, literals: [\"model.txt=name x\\nallocate_mib 256\\nweight 1\\nbias 1\"]}\n"
        ),
        until: "out of memory",
    },
    Failure {
        name: "the fetcher's image is not there",
        version: "v2.3",
        overlay: "images: [{name: plimsoll.test/fetcher, newTag: nosuch}]\n",
        until: "cannot start",
    },
    Failure {
        name: "the server's image is not there",
        version: "v2.3",
        overlay: "images: [{name: plimsoll.test/e2e-server, newTag: nosuch}]\n",
        until: "cannot start",
    },
    Failure {
        name: "a Secret is missing",
        version: "v2.3",
        overlay: patch!(
            "initContainers:" "- name: health-sidecar" "- name: fetcher" "  envFrom: [{secretRef: {name: nosuch}}]"
        ),
        until: "cannot start",
    },
    Failure {
        name: "a setting of the fetcher is wrong",
        version: "v2.3",
        overlay: patch!(
            "initContainers:" "- name: health-sidecar" "- name: fetcher" "  env: [{name: FETCHER_CONNECTIONS, value: many}]"
        ),
        until: "invalid value",
    },
    Failure {
        name: "a setting of the sidecar is wrong",
        version: "v2.3",
        overlay: patch!(
            "initContainers:" "- name: health-sidecar" "  env: [{name: HEALTH_SERVER, value: nosuch}]"
        ),
        until: "health-sidecar",
    },
    Failure {
        name: "the server cannot load the model",
        version: "v2.8",
        overlay: "",
        until: "expected a number, got two (restarts",
    },
    Failure {
        name: "the server has too little memory",
        version: "v3.1-hungry",
        overlay: "",
        until: "server was killed: out of memory (restarts",
    },
    Failure {
        name: "the server has another model",
        version: "v2.6",
        overlay: "",
        until: "this server has fraud-detection",
    },
    Failure {
        name: "the model answers otherwise than it should",
        version: "v2.7",
        overlay: "",
        until: "smoke request",
    },
    Failure {
        name: "the model takes too long to load",
        version: "v3.0-slow",
        overlay: "patches:\n- target: {kind: Deployment}\n  patch: |\n    - {op: replace, path: /spec/progressDeadlineSeconds, value: 20}\n",
        until: "progress deadline",
    },
    Failure {
        name: "the server hangs after a while",
        version: "v3.2-tired",
        overlay: "",
        until: "was serving before",
    },
    Failure {
        name: "no node has room",
        version: "v2.3",
        overlay: patch!(
            "containers:" "- name: server" "  resources: {requests: {memory: 10Ti}, limits: {memory: 10Ti}}"
        ),
        until: "waiting for a node",
    },
    Failure {
        name: "a quota is used up",
        version: "v2.3",
        overlay: "resources: [quota.yaml]\n",
        until: "exceeded quota",
    },
];
