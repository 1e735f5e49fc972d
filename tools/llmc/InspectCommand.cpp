//===- InspectCommand.cpp - llmc inspect ----------------------------------===//

#include "runtime/plan/PlanReader.h"
#include "runtime/plan/Report.h"
#include "tools/llmc/Commands.h"
#include "tools/llmc/WriteText.h"
#include "tools/llmc/inspect/HtmlReport.h"

#include <cstdio>
#include <memory>

namespace llmc::tools {

Action addInspectCommand(CLI::App &app) {
  CLI::App *command = app.add_subcommand(
      "inspect", "Show what lies where, when and why in a plan");
  struct Flags {
    std::string plan;
    bool json = false;
    std::string csv;
    std::string html;
  };
  auto flags = std::make_shared<Flags>();
  command->add_option("plan", flags->plan, "A plan made by llmc compile")
      ->required()
      ->type_name("PLAN");
  command->add_flag("--json", flags->json, "Print JSON");
  command->add_option("--csv", flags->csv, "Write the buffers as a table")
      ->type_name("FILE");
  command
      ->add_option("--html", flags->html,
                   "Write one page that shows the plan: open it in a browser")
      ->type_name("FILE");
  return [flags]() -> int {
    Result<plan::Plan> plan = plan::readPlan(flags->plan);
    if (!plan) {
      return fail(plan.error());
    }
    if (!flags->csv.empty()) {
      if (Result<void> done = writeText(flags->csv, plan::reportCsv(*plan));
          !done) {
        return fail(done.error());
      }
    }
    if (!flags->html.empty()) {
      if (Result<void> done = writeText(flags->html, htmlReport(*plan));
          !done) {
        return fail(done.error());
      }
    }
    if (!flags->json && (!flags->csv.empty() || !flags->html.empty())) {
      return 0;
    }
    std::string text =
        flags->json ? plan::reportJsonText(*plan) + "\n" : reportText(*plan);
    std::fwrite(text.data(), 1, text.size(), stdout);
    return 0;
  };
}

} // namespace llmc::tools
