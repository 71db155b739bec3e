// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "services/millrace/command_line.h"

int main(int argc, char** argv) { return millrace::RunCommand(std::vector<std::string>(argv + 1, argv + argc)); }
