//! Answers of model servers that are not started here, word for word as their documentation has them.
//!
//! Each is followed by the page that it is from. What is derived from one, such as the same model in another
//! state, is made by the tests from these, and not written here.

/// <https://github.com/tensorflow/serving/blob/master/tensorflow_serving/g3doc/api_rest.md#make-rest-api-calls-to-modelserver>
pub const TENSORFLOW_SERVING: &str = r#"{
 "model_version_status": [
  {
   "version": "123",
   "state": "AVAILABLE",
   "status": {
    "error_code": "OK",
    "error_message": ""
   }
  }
 ]
}"#;

/// <https://github.com/tensorflow/serving/blob/master/tensorflow_serving/g3doc/api_rest.md#make-rest-api-calls-to-modelserver>,
/// with 404.
pub const TENSORFLOW_SERVING_UNKNOWN: &str = r#"{ "error": "Servable not found for request: Latest(half)" }"#;

/// <https://github.com/pytorch/serve/blob/master/docs/management_api.md#describe-model>
pub const TORCHSERVE: &str = r#"[
    {
      "modelName": "noop",
      "modelVersion": "2.0",
      "modelUrl": "noop_2.mar",
      "engine": "Torch",
      "runtime": "python",
      "minWorkers": 1,
      "maxWorkers": 1,
      "batchSize": 1,
      "maxBatchDelay": 100,
      "workers": [
        {
          "id": "9000",
          "startTime": "2018-10-02T13:44:53.034Z",
          "status": "READY",
          "gpu": false,
          "memoryUsage": 89247744
        }
      ],
      "jobQueueStatus": {
        "remainingCapacity": 100,
        "pendingRequests": 0
      }
    }
]"#;

/// <https://docs.gitlab.com/administration/gitlab_duo_self_hosted/supported_llm_serving_platforms/#find-the-model-name>, vLLM's answer as
/// shown there, less the comment that more fields follow.
pub const VLLM: &str = r#"{
  "object": "list",
  "data": [
    {
      "id": "Mixtral-8x22B-Instruct-v0.1",
      "object": "model",
      "created": 1739421415,
      "owned_by": "vllm",
      "root": "mistralai/Mixtral-8x22B-Instruct-v0.1"
    }
  ]
}"#;

/// <https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md#get-v1models-openai-compatible-model-info-api>
pub const LLAMA_CPP: &str = r#"{
    "object": "list",
    "data": [
        {
            "id": "../models/Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf",
            "object": "model",
            "architecture": {
                "input_modalities": ["text"],
                "output_modalities": ["text"]
            },
            "created": 1735142223,
            "owned_by": "llamacpp",
            "meta": {
                "vocab_type": 2,
                "n_vocab": 128256,
                "n_ctx_train": 131072,
                "n_embd": 4096,
                "n_params": 8030261312,
                "size": 4912898304
            }
        }
    ]
}"#;

/// <https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md#get-health-returns-heath-check-result>, with 503.
pub const LLAMA_CPP_LOADING: &str =
    r#"{"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}"#;

/// <https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md#get-health-returns-heath-check-result>
pub const LLAMA_CPP_HEALTHY: &str = r#"{"status": "ok" }"#;

/// <https://github.com/ollama/ollama/blob/main/docs/api.md#list-running-models>
pub const OLLAMA_PS: &str = r#"{
  "models": [
    {
      "name": "mistral:latest",
      "model": "mistral:latest",
      "size": 5137025024,
      "digest": "2ae6f6dd7a3dd734790bbbf58b8909a606e0e7e97e94b7604e0aa7ae4490e6d8",
      "details": {
        "parent_model": "",
        "format": "gguf",
        "family": "llama",
        "families": [
          "llama"
        ],
        "parameter_size": "7.2B",
        "quantization_level": "Q4_0"
      },
      "expires_at": "2024-06-04T14:38:31.83753-07:00",
      "size_vram": 5137025024
    }
  ]
}"#;
