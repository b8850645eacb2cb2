//! What the model runs on.

/// Which hardware is asked for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// CUDA where it works, else the CPU (said in the log, `/readyz` and `/metrics`).
    Auto,
    Cpu,
    /// CUDA, or an error at the start.
    Cuda,
}

/// Which ONNX Runtime execution provider is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    Cpu,
    Cuda,
}
