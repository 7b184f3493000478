// Classifies images as a native app does, on the libLiteRt.so that apps link.
//
//   client MODEL INPUTS
//
// INPUTS holds the bytes of the input tensor, image after image. Prints JSON: the size
// of TFLITE_METADATA in bytes and the scores (images, classes). The wheel has the library
// but no headers, so the prototypes of the functions used are declared here, as of
// LiteRT 2.3.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef int Status;  // 0 is success.
typedef struct Environment *Environment;
typedef struct Model *Model;
typedef struct Options *Options;
typedef struct Signature *Signature;
typedef struct Tensor *Tensor;
typedef struct CompiledModel *CompiledModel;
typedef struct Requirements *Requirements;
typedef struct Buffer *Buffer;
typedef size_t Index;

typedef struct {
  int32_t element_type;
  uint32_t rank_and_flags;
  int32_t dimensions[8];
  uint32_t strides[8];
} TensorType;

enum { ACCELERATOR_CPU = 1, LOCK_READ = 0, LOCK_WRITE = 1 };

Status LiteRtCreateEnvironment(int, const void *, Environment *);
Status LiteRtCreateModelFromFile(Environment, const char *, Model *);
Status LiteRtGetModelMetadata(Model, const char *, const void **, size_t *);
Status LiteRtCreateOptions(Options *);
Status LiteRtSetOptionsHardwareAccelerators(Options, int);
Status LiteRtCreateCompiledModel(Environment, Model, Options, CompiledModel *);
Status LiteRtGetModelSignature(Model, Index, Signature *);
Status LiteRtGetSignatureInputTensor(Signature, const char *, Tensor *);
Status LiteRtGetSignatureOutputTensor(Signature, const char *, Tensor *);
Status LiteRtGetRankedTensorType(Tensor, TensorType *);
Status LiteRtGetCompiledModelInputBufferRequirements(CompiledModel, Index, Index, Requirements *);
Status LiteRtGetCompiledModelOutputBufferRequirements(CompiledModel, Index, Index, Requirements *);
Status LiteRtCreateManagedTensorBufferFromRequirements(Environment, const TensorType *,
                                                       Requirements, Buffer *);
Status LiteRtGetTensorBufferPackedSize(Buffer, size_t *);
Status LiteRtLockTensorBuffer(Buffer, void **, int);
Status LiteRtUnlockTensorBuffer(Buffer);
Status LiteRtRunCompiledModel(CompiledModel, Index, size_t, Buffer *, size_t, Buffer *);
void LiteRtDestroyTensorBuffer(Buffer);
void LiteRtDestroyCompiledModel(CompiledModel);
void LiteRtDestroyOptions(Options);
void LiteRtDestroyModel(Model);
void LiteRtDestroyEnvironment(Environment);

#define CHECK(call) check(call, #call)

static void fail(const char *what) {
  fprintf(stderr, "error: %s\n", what);
  exit(1);
}

static void check(Status status, const char *call) {
  if (status) {
    fprintf(stderr, "error: status %d of %s\n", status, call);
    exit(1);
  }
}

// Reads the next image into the tensor; returns 0 at the end of the file.
static int fill(Buffer buffer, FILE *file) {
  size_t size = 0;
  void *address = NULL;
  CHECK(LiteRtGetTensorBufferPackedSize(buffer, &size));
  CHECK(LiteRtLockTensorBuffer(buffer, &address, LOCK_WRITE));
  size_t count = fread(address, 1, size, file);
  CHECK(LiteRtUnlockTensorBuffer(buffer));
  if (ferror(file) || (count != 0 && count != size))
    fail("the inputs must be a file of whole images, each of exactly the tensor's bytes");
  return count == size;
}

static void print_floats(Buffer buffer) {
  size_t size = 0;
  void *address = NULL;
  CHECK(LiteRtGetTensorBufferPackedSize(buffer, &size));
  CHECK(LiteRtLockTensorBuffer(buffer, &address, LOCK_READ));
  for (size_t i = 0; i < size / sizeof(float); ++i)
    printf("%s%.9g", i ? ", " : "[", ((float *)address)[i]);
  printf("]");
  CHECK(LiteRtUnlockTensorBuffer(buffer));
}

int main(int argc, char **argv) {
  if (argc != 3) fail("usage: client MODEL INPUTS");
  FILE *file = fopen(argv[2], "rb");
  if (!file) fail("the inputs must be a file that can be read");
  Environment environment = NULL;
  Model model = NULL;
  Options options = NULL;
  CompiledModel compiled = NULL;
  Signature signature = NULL;
  Tensor image = NULL, probabilities = NULL;
  TensorType type;
  Requirements needs = NULL;
  Buffer input = NULL, output = NULL;
  const void *metadata = NULL;
  size_t metadata_bytes = 0;

  CHECK(LiteRtCreateEnvironment(0, NULL, &environment));
  CHECK(LiteRtCreateModelFromFile(environment, argv[1], &model));
  CHECK(LiteRtGetModelMetadata(model, "TFLITE_METADATA", &metadata, &metadata_bytes));
  CHECK(LiteRtCreateOptions(&options));
  CHECK(LiteRtSetOptionsHardwareAccelerators(options, ACCELERATOR_CPU));
  CHECK(LiteRtCreateCompiledModel(environment, model, options, &compiled));
  CHECK(LiteRtGetModelSignature(model, 0, &signature));

  CHECK(LiteRtGetSignatureInputTensor(signature, "image", &image));
  CHECK(LiteRtGetRankedTensorType(image, &type));
  CHECK(LiteRtGetCompiledModelInputBufferRequirements(compiled, 0, 0, &needs));
  CHECK(LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, needs, &input));
  CHECK(LiteRtGetSignatureOutputTensor(signature, "probabilities", &probabilities));
  CHECK(LiteRtGetRankedTensorType(probabilities, &type));
  CHECK(LiteRtGetCompiledModelOutputBufferRequirements(compiled, 0, 0, &needs));
  CHECK(LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, needs, &output));

  printf("{\"metadata_bytes\": %zu, \"scores\": [", metadata_bytes);
  for (int image_count = 0; fill(input, file); ++image_count) {
    CHECK(LiteRtRunCompiledModel(compiled, 0, 1, &input, 1, &output));
    if (image_count) printf(", ");
    print_floats(output);
  }
  printf("]}\n");

  fclose(file);
  LiteRtDestroyTensorBuffer(output);
  LiteRtDestroyTensorBuffer(input);
  LiteRtDestroyCompiledModel(compiled);
  LiteRtDestroyOptions(options);
  LiteRtDestroyModel(model);
  LiteRtDestroyEnvironment(environment);
  return 0;
}
