//===- codegen_math.cpp - Accuracy of generated functions -----------------===//
//
// Every 251st float (every exponent with both signs, 33,000 values each),
// all infinities, zeros and NaN, and the floats around the boundaries of the
// functions' cases, against double. LLMC_ALL_FLOATS=1 walks all 2^32. The
// bounds are those that VectorBuilder.h states.
//
//===----------------------------------------------------------------------===//

#include "test/unit/codegen_support.h"

#include <cstdlib>

using namespace llmc::codegen;
using namespace llmc::codegen::test;
using namespace llmc::plan;

namespace {

struct Function {
  const char *name;
  PointwiseOp op;
  double (*exact)(double);
  double bound; // units in the last place
};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double silu(double x) { return x / (1 + std::exp(-x)); }
double quickGelu(double x) { return x / (1 + std::exp(-1.702 * x)); }
double geluErf(double x) { return 0.5 * x * std::erfc(-x * M_SQRT1_2); }
double geluTanh(double x) {
  double u = std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
  return x / (1 + std::exp(-2 * u));
}
double softplus(double x) {
  return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}

const Function kFunctions[] = {
    {"exp", PointwiseOp::Exp, std::exp, 1.0},
    {"log", PointwiseOp::Log, std::log, 0.9},
    {"tanh", PointwiseOp::Tanh, std::tanh, 1.4},
    {"erf", PointwiseOp::Erf, std::erf, 1.1},
    {"sin", PointwiseOp::Sin, std::sin, 1.6},
    {"cos", PointwiseOp::Cos, std::cos, 1.6},
    {"sigmoid", PointwiseOp::Sigmoid, sigmoid, 2.4},
    {"silu", PointwiseOp::Silu, silu, 3.3},
    {"quick_gelu", PointwiseOp::QuickGelu, quickGelu, 3.3},
    {"gelu_erf", PointwiseOp::GeluErf, geluErf, 6.5},
    {"gelu_tanh", PointwiseOp::GeluTanh, geluTanh, 3.4},
    {"softplus", PointwiseOp::Softplus, softplus, 2.0},
};

/// |found - exact| in units of exact's last place; 0 for equal infinities and
/// NaN, infinite for anything else that is not finite. What rounds to infinity
/// counts as the place it would have.
double errorOf(float found, double exact) {
  if (std::isnan(exact) || std::isnan(found)) {
    return std::isnan(exact) && std::isnan(found) ? 0 : INFINITY;
  }
  float rounded = static_cast<float>(exact);
  if (found == rounded) {
    return std::abs(double(found) - exact) <= 0 || std::isinf(rounded)
               ? 0
               : std::abs(double(found) - exact) /
                     std::ldexp(1, std::max(std::ilogb(exact), -126) - 23);
  }
  double value = std::isinf(found) ? std::copysign(0x1p128, found) : found;
  if (std::isinf(exact)) {
    return INFINITY;
  }
  int exponent = exact == 0 ? -126 : std::max(std::ilogb(exact), -126);
  return std::abs(value - exact) / std::ldexp(1, exponent - 23);
}

class Accuracy : public testing::TestWithParam<Function> {};

TEST_P(Accuracy, WholeRange) {
  SKIP_WITHOUT_AVX2();
  const Function &function = GetParam();
  constexpr size_t kBatch = 1 << 16;
  Data x(DType::F32, {kBatch}), y(DType::F32, {kBatch});
  Built built({&x, &y}, program(1, {{function.op, 0, 0}}), {});
  ASSERT_TRUE(built.generated());
  const char *all = std::getenv("LLMC_ALL_FLOATS");
  const uint64_t stride = all && *all == '1' ? 1 : 251;
  double worst = 0;
  uint32_t where = 0;
  size_t fill = 0;
  uint64_t count = 0;
  auto flush = [&] {
    x.dims = y.dims = {int64_t(fill)};
    built.run({&x, &y});
    for (size_t i = 0; i < fill; ++i) {
      float input = x.f32()[i];
      double error = errorOf(y.f32()[i], function.exact(double(input)));
      if (!(error <= worst)) {
        worst = error;
        where = std::bit_cast<uint32_t>(input);
      }
    }
    count += fill;
    fill = 0;
  };
  auto push = [&](uint32_t bits) {
    x.f32()[fill++] = std::bit_cast<float>(bits);
    if (fill == kBatch) {
      flush();
    }
  };
  for (uint64_t bits = 0; bits < uint64_t(1) << 32; bits += stride) {
    push(uint32_t(bits));
  }
  for (uint32_t sign : {0u, 0x80000000u}) {
    for (uint32_t bits : {0u, 1u, 2u, 0x007fffffu, 0x00800000u, 0x7f7fffffu,
                          0x7f800000u, 0x7f800001u, 0x7fc00000u}) {
      push(sign | bits);
    }
    // 4,096 floats on each side of where a case begins.
    for (float edge : {0.625f, 0.927734375f, 4.0f, 1.0f, 2.0f / 3, 4.0f / 3,
                       88.72284f, 87.33655f, 103.97208f, 268435456.0f, 13.0f,
                       30.0f, 200.0f, 16.0f, 0.78539816f, 3.1415927f}) {
      uint32_t middle = std::bit_cast<uint32_t>(edge);
      for (uint32_t bits = middle - 4096; bits <= middle + 4096; ++bits) {
        push(sign | bits);
      }
    }
  }
  flush();
  std::printf("%-10s %.3f ulp at %.9g (0x%08x), %llu floats\n", function.name,
              worst, double(std::bit_cast<float>(where)), where,
              static_cast<unsigned long long>(count));
  EXPECT_LE(worst, function.bound);
}

INSTANTIATE_TEST_SUITE_P(Generated, Accuracy, testing::ValuesIn(kFunctions),
                         [](const auto &info) {
                           return std::string(info.param.name);
                         });

} // namespace
