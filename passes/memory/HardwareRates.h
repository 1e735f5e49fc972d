//===- HardwareRates.h - The rates of a hardware profile -------*- C++ -*-===//

#ifndef LLMC_PASSES_MEMORY_HARDWARERATES_H
#define LLMC_PASSES_MEMORY_HARDWARERATES_H

#include "passes/memory/Rates.h"
#include "runtime/plan/HardwareProfile.h"
#include "runtime/support/Result.h"

#include <string>

namespace llmc::memory {

/// The machine that the profile describes, as the target `cpu` or `cuda` sees
/// it. What the profile does not speak of is taken from the reference CPU, in
/// proportion to the products; for a GPU, from its data sheet with the shares
/// that real ones reach. Error: InvalidArgument if the profile has no host, or
/// no GPU.
Result<Rates> ratesOf(const plan::HardwareProfile &profile,
                      const std::string &target);

} // namespace llmc::memory

#endif // LLMC_PASSES_MEMORY_HARDWARERATES_H
