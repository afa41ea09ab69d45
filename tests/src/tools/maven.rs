//! Programs in Java, from packages of Maven.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{debian_package, once};
use crate::{places, process};

/// A command for a class of Hadoop, with all of its file system on the class path.
pub fn hadoop(class: &str) -> Command {
    let java = program("java", "default-jre-headless");
    let project = places::data("hadoop/pom.xml");
    let folder = places::tools().join("hadoop");
    let versions = fs::read_to_string(&project).expect("the project is readable");
    once("hadoop", &versions, || {
        // What an interrupted installation left behind is not worth repairing.
        let _ = fs::remove_dir_all(&folder);
        let mut maven = Command::new(program("mvn", "maven"));
        maven.args(["--quiet", "--batch-mode", "--file"]).arg(&project);
        maven.arg("org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies");
        maven.arg(format!("-DoutputDirectory={}", folder.join("jars").display()));
        // What it needs for itself is of no use afterwards.
        maven.arg(format!("-Dmaven.repo.local={}", folder.join("repository").display()));
        process::run(&mut maven);
        fs::remove_dir_all(folder.join("repository")).expect("the repository can be removed");
    });
    let mut command = Command::new(java);
    command.arg("-Xmx512m").arg("-cp").arg(folder.join("jars/*")).arg(class);
    command
}

/// A program on `PATH`, or from Debian.
fn program(name: &str, package: &str) -> PathBuf {
    match process::on_path(name) {
        true => name.into(),
        false => debian_package(package, &format!("/usr/bin/{name}")),
    }
}
