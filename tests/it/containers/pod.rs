//! Runs a Pod's containers in the order and under the restrictions in which the kubelet would run them.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use plimsoll_tests::{places, poll};
use tempfile::TempDir;

use super::engine::{Engine, Running, image};
use super::manifest::{Container, Mount, Pod, Security};
use super::world::World;

/// How long a fetch of a small model may take.
const FETCH_LIMIT: Duration = Duration::from_secs(60);

/// A Pod whose containers are started one after the other by the test.
pub struct RunningPod<'a> {
    engine: &'a Engine,
    world: &'a World,
    pub pod: Pod,
    /// As an overlay or an admission controller may set it; the manifest's own, or the image's, otherwise.
    user: Option<u32>,
    volumes: BTreeMap<String, TempDir>,
    logs: TempDir,
}

/// An init container that ended.
pub struct Ended {
    pub container: Running,
    pub code: i32,
    pub termination_message: String,
}

impl<'a> RunningPod<'a> {
    /// Makes the volumes.
    pub fn new(engine: &'a Engine, world: &'a World, pod: Pod, user: Option<u32>) -> Self {
        let group = pod.spec.security_context.fs_group;
        let volumes = pod.spec.volumes.iter().map(|volume| {
            assert!(volume.empty_dir.is_some(), "expected an emptyDir, got {volume:?}");
            (volume.name.clone(), empty_dir(group))
        });
        let volumes = volumes.collect();
        Self { engine, world, pod, user, volumes, logs: tempfile::tempdir().unwrap() }
    }

    /// The folder of this machine that a container has at `path`.
    pub fn volume_at(&self, container: &Container, path: &str) -> PathBuf {
        let mount = container.volume_mounts.iter().find(|mount| mount.mount_path == path);
        let mount =
            mount.unwrap_or_else(|| panic!("expected {} to mount a volume at {path}", container.name));
        self.volumes[&mount.name].path().to_owned()
    }

    /// Starts an init container that goes on running; the kubelet goes on as soon as it runs.
    pub fn start_sidecar(&self, container: &Container) -> Running {
        assert!(container.is_sidecar(), "expected {} to have restartPolicy Always", container.name);
        let sidecar = self.start(container, &image(&container.name), &[], &container.args);
        poll::until("the sidecar to run", Duration::from_secs(10), || sidecar.is_running().then_some(()));
        sidecar
    }

    /// Runs an init container to its end, as the kubelet does before it starts the next one.
    pub fn run_to_end(&self, container: &Container) -> Ended {
        let running = self.start(container, &image(&container.name), &[], &container.args);
        let code = running.wait(FETCH_LIMIT);
        let message = fs::read_to_string(self.termination_log(&container.name)).unwrap();
        Ended { container: running, code, termination_message: message }
    }

    /// Starts the model server: the command of the manifest, with this machine's programs in place of its image.
    pub fn start_server(&self, container: &Container) -> Running {
        let mut options = self.engine.host_programs();
        if !container.volume_mounts.iter().any(|mount| mount.mount_path == "/tmp") {
            options.push("--tmpfs=/tmp:mode=1777".to_owned());
        }
        let command: Vec<_> = container.command.iter().chain(&container.args).cloned().collect();
        self.start(container, self.engine.empty_image(), &options, &command)
    }

    /// Starts what looks at the Pod from inside its network.
    pub fn watch(&self, health_port: u16, server_port: u16) -> Running {
        let mut options = self.engine.host_programs();
        options.push(self.world.network());
        let script = places::data("containers/watch_health.py").display().to_string();
        let python = self.engine.python_program("python");
        let command = [python, script, health_port.to_string(), server_port.to_string()];
        self.engine.run("watch", &options, self.engine.empty_image(), &command)
    }

    fn start(&self, container: &Container, image: &str, extra: &[String], command: &[String]) -> Running {
        let mut options = vec![self.world.network()];
        options.extend(restrictions(&self.pod.spec.security_context, &container.security_context, self.user));
        options.extend(container.memory_limit().map(|bytes| format!("--memory={bytes}")));
        options.extend(container.volume_mounts.iter().map(|mount| self.bind(mount)));
        options.push(self.bind_termination_log(container));
        for (name, value) in self.pod.environment(container) {
            options.push(format!("--env={name}={value}"));
        }
        options.extend(extra.iter().cloned());
        self.engine.run(&container.name, &options, image, command)
    }

    fn bind(&self, mount: &Mount) -> String {
        let source = self.volumes[&mount.name].path().display();
        let mode = if mount.read_only { ",readonly" } else { "" };
        format!("--mount=type=bind,source={source},target={}{mode}", mount.mount_path)
    }

    fn termination_log(&self, container: &str) -> PathBuf {
        self.logs.path().join(container)
    }

    /// The kubelet mounts an empty file that anyone may write to; each start of a container gets a new one.
    fn bind_termination_log(&self, container: &Container) -> String {
        let source = self.termination_log(&container.name);
        let _ = fs::remove_file(&source);
        fs::write(&source, "").unwrap();
        fs::set_permissions(&source, Permissions::from_mode(0o666)).unwrap();
        let target = container.termination_message_path.as_deref().unwrap_or("/dev/termination-log");
        format!("--mount=type=bind,source={},target={target}", source.display())
    }
}

/// What Pod Security `restricted` asks for, from the manifest to the engine's own words.
fn restrictions(pod: &Security, container: &Security, user: Option<u32>) -> Vec<String> {
    assert!(container.read_only_root_filesystem, "expected a read-only root file system: {container:?}");
    assert_eq!(container.allow_privilege_escalation, Some(false), "{container:?}");
    assert_eq!(container.capabilities.drop, ["ALL"], "{container:?}");
    let mut options = vec!["--read-only", "--security-opt=no-new-privileges", "--cap-drop=ALL"];
    options.extend(["--pids-limit=512"]);
    let mut options: Vec<_> = options.into_iter().map(str::to_owned).collect();
    let stated = container.run_as_user.or(pod.run_as_user);
    let group = container.run_as_group.or(pod.run_as_group);
    match (user, stated) {
        // An assigned user has no entry anywhere and is in group 0, as on OpenShift.
        (Some(user), _) => options.push(format!("--user={user}:0")),
        (None, Some(user)) => options.push(format!("--user={user}:{}", group.unwrap_or(0))),
        (None, None) => {}
    }
    options.extend(pod.fs_group.map(|group| format!("--group-add={group}")));
    options
}

/// A folder as the kubelet makes it for an emptyDir.
fn empty_dir(group: Option<u32>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    if let Some(group) = group {
        own(folder.path(), group);
    }
    fs::set_permissions(folder.path(), Permissions::from_mode(0o2777)).unwrap();
    folder
}

/// Only root can give a folder to a group that it is not in; anyone may write to it in any case.
fn own(folder: &Path, group: u32) {
    let _ = chown(folder, None, Some(group));
}
