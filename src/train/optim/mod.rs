pub mod loss;
pub mod optimizer;
pub mod scheduler;
