pub mod attention;
pub mod bf16;
pub mod fused;
pub mod lora;
pub mod network;
pub mod parameters;
pub mod plain;
pub mod positions;
