#!/usr/bin/env node
import { main } from '../src/cli/main.js';
import { ownProgram } from '../src/cli/own-program.js';

// At SIGUSR1, Node.js would open the port of its debugger, to every user of the machine. Some commands listen themselves.
process.on('SIGUSR1', () => undefined);

void main(ownProgram(__filename), process.argv.slice(2), process.env).then((code) => {
  process.exitCode = code;
  // An open socket would keep Node running.
  process.exit(code);
});
