//===- bufferfile.cpp - Tests of packing problems as CSV ------------------===//

#include "tools/llmc/PackFile.h"

#include <gtest/gtest.h>

using namespace llmc;
using namespace llmc::tools;

namespace {

std::string errorOf(const std::string &text) {
  Result<PackFile> file = parsePackFile(text, "f.csv");
  return file ? "" : file.error().message;
}

} // namespace

TEST(PackFile, ReadsAllColumns) {
  Result<PackFile> file =
      parsePackFile("size,id,upper,lower,offset,gaps,alignment\r\n"
                    "96,x,30,-10,64,-5-0 10-20,32\r\n"
                    "\n"
                    "8,y y,20,10,,,\n",
                    "f.csv");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->names, (std::vector<std::string>{"x", "y y"}));
  EXPECT_EQ(file->firstTime, -10);
  ASSERT_EQ(file->problem.buffers.size(), 2u);
  const solver::Buffer &x = file->problem.buffers[0];
  EXPECT_EQ(x.size, 96u);
  EXPECT_EQ(x.alignment, 32u);
  EXPECT_EQ(x.fixed, std::optional<uint64_t>(64));
  EXPECT_EQ(x.start, 0u);
  EXPECT_EQ(x.end, 40u);
  ASSERT_EQ(x.gaps.size(), 2u);
  EXPECT_EQ(x.gaps[0].start, 5u);
  EXPECT_EQ(x.gaps[0].end, 10u);
  EXPECT_EQ(x.gaps[1].start, 20u);
  EXPECT_EQ(x.gaps[1].end, 30u);
  const solver::Buffer &y = file->problem.buffers[1];
  EXPECT_EQ(y.start, 20u);
  EXPECT_EQ(y.end, 30u);
  EXPECT_EQ(y.alignment, 1u);
  EXPECT_FALSE(y.fixed);

  EXPECT_EQ(packedCsv(*file, {{64, 160}, 168}), "id,lower,upper,size,offset\n"
                                                "x,-10,30,96,64\n"
                                                "y y,10,20,8,160\n");
}

TEST(PackFile, SaysWhatIsWrong) {
  EXPECT_EQ(errorOf(""), "f.csv: empty, expected a line of column names");
  EXPECT_EQ(errorOf("id,lower,upper\n"), "f.csv:1: no column 'size'");
  EXPECT_EQ(errorOf("id,lower,upper,size,size\n"),
            "f.csv:1: column 'size' twice");
  EXPECT_EQ(errorOf("id,lower,upper,bytes\n"),
            "f.csv:1: unknown column 'bytes', expected id, lower, upper, size, "
            "alignment, gaps or offset");
  EXPECT_EQ(errorOf("id,lower,upper,size\na,0,1,4\nb,9,5000000000,4\n"),
            "f.csv: lifetimes span more than 2^32 steps (0 to 5000000000)");
  const std::string header = "id,lower,upper,size,alignment,gaps,offset\n";
  EXPECT_EQ(errorOf(header + "a,0,1\n"), "f.csv:2: 3 cells, expected 7");
  EXPECT_EQ(errorOf(header + "a,x,1,4,,,\n"),
            "f.csv:2: lower is 'x', expected a whole number");
  EXPECT_EQ(errorOf(header + "a,5,4,4,,,\n"),
            "f.csv:2: upper is '4', expected a whole number not below lower "
            "(5)");
  EXPECT_EQ(errorOf(header + "a,0,1,-4,,,\n"),
            "f.csv:2: size is '-4', expected bytes from 0 to 2^62");
  EXPECT_EQ(errorOf(header + "a,0,1,4000000000000000000,,,\n"
                             "b,0,1,4000000000000000000,,,\n"),
            "f.csv:3: all sizes together exceed 2^62 bytes");
  EXPECT_EQ(errorOf(header + "a,0,1,4,0,,\n"),
            "f.csv:2: alignment is '0', expected bytes from 1 to 2^40");
  EXPECT_EQ(errorOf(header + "a,0,9,4,1,5-5,\n"),
            "f.csv:2: gaps is '5-5', expected FIRST-END with FIRST < END");
  EXPECT_EQ(errorOf(header + "a,0,9,4,8,,12\n"),
            "f.csv:2: offset is '12', expected a multiple of the alignment "
            "(8)");
}
