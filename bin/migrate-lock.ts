#!/usr/bin/env node
import { main } from '../src/cli/main.js';
import { ownProgram } from '../src/cli/own-program.js';

void main(ownProgram(__filename), process.argv.slice(2), process.env).then((code) => {
  process.exitCode = code;
  // An open socket would keep Node running.
  process.exit(code);
});
