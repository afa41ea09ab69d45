//! `fetcher resolve`: prints the plan that a pull would carry out. No weights are read.

use std::fmt::Write as _;

use handoff::Integrity;

use crate::config::Resolve;
use crate::error::Error;
use crate::plan::Plan;
use crate::report::OutputFormat;
use crate::retry::Budget;
use handoff::ByteSize;

pub(crate) async fn run(job: &Resolve) -> Result<String, Error> {
    let budget = Budget::new(job.network.attempts, job.network.deadline);
    let plan = super::plan(&job.wanted, &job.network.connect()?, &budget).await?;
    let text = match job.output {
        OutputFormat::Text => for_people(&plan),
        OutputFormat::Json => {
            let json = serde_json::to_string_pretty(&plan).map_err(|error| Error::Output(error.into()))?;
            format!("{json}\n")
        }
    };
    super::print(&text)?;
    Ok(format!("{}: version {} at {}", plan.model, plan.resolved.version, plan.resolved.uri))
}

fn for_people(plan: &Plan) -> String {
    let size = |bytes: Option<u64>| bytes.map_or_else(|| "?".to_owned(), |bytes| ByteSize(bytes).to_string());
    let digest = plan.digest.map_or_else(
        || "not known beforehand".to_owned(),
        |whole| format!("{} ({})", whole.digest, whole.rung),
    );
    let mut text = format!(
        "model    {}\nregistry {}\nversion  {}\nuri      {}\ndigest   {digest}\nsize     {} in {} files\n",
        plan.model,
        plan.resolved.registry,
        plan.resolved.version,
        plan.resolved.uri,
        size(plan.total_bytes()),
        plan.files.len(),
    );
    for file in &plan.files {
        let rung = file.rung().max(plan.digest.map_or(Integrity::Recorded, |whole| whole.rung)).name();
        // Writing to a String cannot fail.
        let how = if file.unpack.is_some() { " (to be unpacked)" } else { "" };
        let _ = writeln!(text, "  {:>10}  {rung:<8}  {}{how}", size(file.size), file.path);
    }
    text
}
