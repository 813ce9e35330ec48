import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** https://www.prisma.io/docs/orm/reference/prisma-config-reference: where Prisma searches for its configuration. */
const NAMES = ['prisma.config', join('.config', 'prisma')].flatMap((name) =>
  ['js', 'ts', 'mjs', 'cjs', 'mts', 'cts'].map((extension) => `${name}.${extension}`),
);

/**
 * Whether Prisma may migrate through a driver adapter (`engine: 'js'`): the adapter sends the statements of a file one by one, so
 * that a part of a migration may stay applied. A configuration that only names an adapter counts too: it is code, and is not run here.
 */
export function mayUseDriverAdapter(folder: string, config: string | undefined): boolean {
  const paths = config === undefined ? NAMES.map((name) => join(folder, name)) : [config];
  return paths.some((path) => /adapter/i.test(readText(path)));
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
