import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Makes dist/bin/tested where MIGRATE_LOCK_BIN names an executable: it starts that one for dist/migrate-lock.cjs, and Node.js
 * for everything else.
 */
export function makeTestedBinary() {
  const { MIGRATE_LOCK_BIN: binary } = process.env;
  if (binary === undefined) return;
  const dist = fileURLToPath(new URL('../../dist', import.meta.url));
  const [script, target] = [path.join(dist, 'migrate-lock.cjs'), path.join(dist, 'bin', 'tested')];
  mkdirSync(path.dirname(target), { recursive: true });
  writeFileSync(
    target,
    `#!/bin/sh
if [ "$1" = '${script}' ]; then shift; exec '${path.resolve(binary)}' "$@"; fi
exec '${process.execPath}' "$@"
`,
    { mode: 0o755 },
  );
}
