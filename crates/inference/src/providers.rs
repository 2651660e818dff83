//! What runs a model: execution providers, and sessions on them.
//!
//! A provider that is named is used or the model is unavailable: ONNX Runtime would otherwise fall back to the processor without a
//! word. All but `cpu` come with another library than the one that `make onnxruntime` fetches, and none of them was run by the
//! authors: on a machine without them, they are seen to be refused.

use ort::ep::{self, ArenaExtendStrategy, ExecutionProviderDispatch};
use ort::logging::LogLevel;
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::Session;
use ort::session::builder::AutoDevicePolicy;
use serde::{Deserialize, Serialize};

use crate::runtime::OnnxRuntime;

/// What runs the models. One that is named is used or the models are unavailable: nothing falls back to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionProvider {
    /// The processor.
    #[default]
    Cpu,
    /// NVIDIA's GPUs.
    Cuda,
    /// NVIDIA's GPUs by `TensorRT`, and by CUDA what that cannot.
    Tensorrt,
    /// Apple's.
    Coreml,
    /// Intel's.
    Openvino,
    /// The first of `TensorRT`, CUDA, Core ML, `OpenVINO` and the processor that takes the model.
    Auto,
}

impl ExecutionProvider {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Tensorrt => "tensorrt",
            Self::Coreml => "coreml",
            Self::Openvino => "openvino",
            Self::Auto => "auto",
        }
    }

    /// Those to try, in this order; the first that takes the model is used.
    fn candidates(self) -> &'static [Self] {
        match self {
            Self::Cpu => &[Self::Cpu],
            Self::Cuda => &[Self::Cuda],
            Self::Tensorrt => &[Self::Tensorrt],
            Self::Coreml => &[Self::Coreml],
            Self::Openvino => &[Self::Openvino],
            Self::Auto => &[Self::Tensorrt, Self::Cuda, Self::Coreml, Self::Openvino, Self::Cpu],
        }
    }

    /// With errors where ONNX Runtime would go on without it. A device's arena takes what it is asked for, and no more than
    /// `memory_bytes_max`; its default doubles each time and never shrinks. Without one on the processor, a week through PAT-M took
    /// 1.4 times as long: the pages of what lies between its layers were given back and taken anew in each run.
    fn dispatch(self, memory_bytes_max: usize) -> Vec<ExecutionProviderDispatch> {
        let cuda = || {
            ep::CUDA::default()
                .with_memory_limit(memory_bytes_max)
                .with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested)
                .build()
                .error_on_failure()
        };
        match self {
            Self::Cpu | Self::Auto => {
                vec![ep::CPU::default().with_arena_allocator(true).build().error_on_failure()]
            }
            Self::Cuda => vec![cuda()],
            Self::Tensorrt => {
                let tensorrt = ep::TensorRT::default().with_max_workspace_size(memory_bytes_max);
                vec![tensorrt.build().error_on_failure(), cuda()]
            }
            Self::Coreml => vec![ep::CoreML::default().build().error_on_failure()],
            Self::Openvino => vec![ep::OpenVINO::default().build().error_on_failure()],
        }
    }

    /// The memory in which a device leaves outputs; `None` where the outputs are in the processor's anyway.
    fn host_memory(self) -> ort::Result<Option<MemoryInfo<'static>>> {
        match self {
            Self::Cuda | Self::Tensorrt => {
                let (device, kind) = (AllocationDevice::CUDA_PINNED, MemoryType::CPUOutput);
                MemoryInfo::new(device, 0, AllocatorType::Device, kind).map(Some)
            }
            Self::Cpu | Self::Coreml | Self::Openvino | Self::Auto => Ok(None),
        }
    }
}

/// A session, what it runs on, and where that leaves its outputs.
pub(crate) struct Opened {
    pub(crate) session: Session,
    pub(crate) provider: ExecutionProvider,
    pub(crate) host: Option<MemoryInfo<'static>>,
}

/// Opens `model` on what `wanted` says. The error names every provider that was tried.
pub(crate) fn open(
    runtime: &OnnxRuntime,
    model: &[u8],
    wanted: ExecutionProvider,
    memory_bytes_max: usize,
) -> Result<Opened, String> {
    let mut reasons = Vec::new();
    for provider in wanted.candidates() {
        let opened = session(runtime, model, provider.dispatch(memory_bytes_max))
            .and_then(|session| Ok(Opened { session, provider: *provider, host: provider.host_memory()? }));
        match opened {
            Ok(opened) => {
                if !reasons.is_empty() {
                    tracing::info!(provider = provider.name(), ?reasons, "others could not be used");
                }
                return Ok(opened);
            }
            Err(error) => reasons.push(format!("execution provider {}: {error}", provider.name())),
        }
    }
    Err(reasons.join("; "))
}

/// A session that computes on the thread which calls it and on no other.
fn session(
    runtime: &OnnxRuntime,
    model: &[u8],
    providers: Vec<ExecutionProviderDispatch>,
) -> ort::Result<Session> {
    Session::builder(runtime.environment())?
        .with_log_level(LogLevel::Warning)?
        // This one registers no others.
        .with_auto_device(AutoDevicePolicy::PreferCPU)?
        .with_execution_providers(providers)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        .with_deterministic_compute(true)?
        .commit_from_memory(model)
}
