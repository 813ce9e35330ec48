// Embeds guard.sh, without its comments, in src/generated/guard-script.ts, so that no file is read at run time: the
// script is passed in an environment variable. `node scripts/embed-guard.mjs` writes it, with --check it fails when
// that file is not up to date.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const source = fileURLToPath(new URL('../src/child/guard.sh', import.meta.url));
const target = fileURLToPath(new URL('../src/generated/guard-script.ts', import.meta.url));

const script = readFileSync(source, 'utf8').replaceAll(/^\s*#.*\n|^\n/gm, '');
const text = `// Made by scripts/embed-guard.mjs from src/child/guard.sh: do not edit.

export const GUARD_SCRIPT = ${JSON.stringify(script)};
`;

if (process.argv.includes('--check')) {
  if (readFileSync(target, 'utf8') !== text) {
    console.error(
      'src/generated/guard-script.ts is not what guard.sh says: run `node scripts/embed-guard.mjs` and commit the result.',
    );
    process.exitCode = 1;
  }
} else {
  writeFileSync(target, text);
}
