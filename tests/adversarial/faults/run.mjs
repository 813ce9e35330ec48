// Runs random fault schedules: npm run test:faults -- --seed N --runs N [--lanes N] [--program FILE] `--program` is
// another build, to check that a broken one is detected.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    runs: { type: 'string', default: '200' },
    lanes: { type: 'string', default: '6' },
    program: { type: 'string' },
  },
});
for (const [name, value] of Object.entries({ seed: values.seed, runs: values.runs, lanes: values.lanes })) {
  if (!/^[1-9]\d*$/.test(value)) throw new Error(`--${name} ${value}: write a whole number, for example 200`);
}

const root = fileURLToPath(new URL('../../..', import.meta.url));
const jest = fileURLToPath(new URL('../../../node_modules/jest/bin/jest.js', import.meta.url));
const child = spawn(
  process.execPath,
  [
    '--experimental-vm-modules',
    '--no-warnings',
    jest,
    '--config',
    'tests/support/long.jest.config.js',
    'tests/adversarial/faults/faults.long.test.ts',
    '-t',
    'random schedules',
  ],
  {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      FAULTS_SEED: values.seed,
      FAULTS_RUNS: values.runs,
      FAULTS_LANES: values.lanes,
      FAULTS_TELL: '1',
      ...(values.program === undefined ? {} : { FAULTS_PROGRAM: values.program }),
    },
  },
);
child.once('exit', (code) => (process.exitCode = code ?? 1));
