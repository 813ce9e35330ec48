import { main } from '../src/cli/main.js';

void main([process.execPath, __filename], process.argv.slice(2), process.env).then((code) => {
  process.exitCode = code;
  // A silent peer's socket would keep Node alive.
  process.exit(code);
});
