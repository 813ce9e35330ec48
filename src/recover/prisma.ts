import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { CopiedRow } from '../db/copy-rows.js';
import type { Database } from '../db/database.js';
import { MigrateLockError } from '../errors.js';
import { endsTransaction } from './migration-script.js';
import { mayUseDriverAdapter } from './prisma-config.js';
import { recognizePrisma } from './recognize.js';
import { readToolTables } from './tool-locks.js';

/** Prisma makes a folder of a time and of such a name: no path, no option, no word of a shell. */
const FOLDER = /^[A-Za-z0-9_][\w.-]{0,254}$/;
/** A migration is a text that a person reads. */
const MOST_BYTES = 16 * 1024 * 1024;

/** `--recover prisma` is not possible, or not certain to be right. */
export class PrismaRecoveryError extends MigrateLockError {
  override readonly name = 'PrismaRecoveryError';

  constructor(message: string, hint: string, cause?: unknown) {
    super(`--recover prisma: ${message}.`, { code: 'RECOVERY_REFUSED', exit: 'usage', hint, cause });
  }
}

/**
 * The commands that mark the unfinished migrations of `prisma migrate deploy` as rolled back, one for each; none: there is no
 * unfinished one. They are right where each migration is one transaction, which PostgreSQL rolled back when it was cut off.
 * @throws {PrismaRecoveryError} when that is not certain for one of them: then none is given.
 */
export async function prismaRecovery(
  database: Database,
  argv: readonly string[],
  folder: string,
): Promise<(readonly string[])[]> {
  const prisma = requirePrisma(argv);
  const tables = (await readToolTables(database))
    .filter(({ tool }) => tool === 'prisma')
    .map(({ schema, rows }) => ({ schema, unfinished: rows.filter(isUnfinished) }))
    .filter(({ unfinished }) => unfinished.length > 0);
  if (tables.length > 1) {
    throw new PrismaRecoveryError(
      `unfinished migrations are in several schemas (${tables.map(({ schema }) => schema).join(', ')}), and it is not known which is this command's`,
      BY_HAND,
    );
  }
  const config = prisma.connection.get('--config');
  const unfinished = tables[0]?.unfinished ?? [];
  if (unfinished.length > 0 && mayUseDriverAdapter(folder, config && resolve(folder, config))) {
    throw new PrismaRecoveryError(
      "Prisma's configuration names a driver adapter, which sends the statements of a migration one by one: a part of it may be applied",
      BY_HAND,
    );
  }
  const names = unfinished.map((row) => checked(row, placesOf(prisma.connection, folder)));
  return [...new Set(names)].map((name) => [...prisma.resolve, '--rolled-back', name]);
}

/** @throws {PrismaRecoveryError} when the command is not one that is known to run `prisma migrate deploy`. */
export function requirePrisma(argv: readonly string[]): NonNullable<ReturnType<typeof recognizePrisma>> {
  const prisma = recognizePrisma(argv);
  if (prisma !== undefined) return prisma;
  throw new PrismaRecoveryError(
    'the command is not one that is known to run `prisma migrate deploy`',
    "Give the command itself: --recover 'npx prisma migrate resolve --rolled-back NAME'.",
  );
}

const BY_HAND =
  'Check what the migration did, and use `prisma migrate resolve` with --applied or --rolled-back yourself.';

/** The columns are those that sql/calls/tool-tables.sql reads. */
function isUnfinished([, , finishedAt, rolledBackAt]: CopiedRow): boolean {
  return finishedAt === null && rolledBackAt === null;
}

/** The name of a migration that can be marked as rolled back. */
function checked([name, checksum, , , steps]: CopiedRow, places: readonly string[]): string {
  if (name == null || !FOLDER.test(name) || name.includes('..')) {
    throw new PrismaRecoveryError('the name of an unfinished migration is not that of a folder', BY_HAND);
  }
  if (steps !== '0') {
    throw new PrismaRecoveryError(
      `the migration ${name} was applied, and only its end was not recorded`,
      `If that is so: prisma migrate resolve --applied ${name}.`,
    );
  }
  const found = places.map((place) => readMigration(join(place, name, 'migration.sql'), checksum));
  const script = found.find((text) => text !== undefined);
  if (script === undefined) {
    throw new PrismaRecoveryError(
      `no migration.sql of ${name} with the checksum that Prisma stored is in ${places.join(' or ')}`,
      `Give the place with --schema in the command. Or: ${BY_HAND}`,
    );
  }
  const reason = endsTransaction(script);
  if (reason !== undefined) {
    throw new PrismaRecoveryError(
      `the migration ${name} may not be one transaction (${reason}): a part of it may be applied`,
      BY_HAND,
    );
  }
  return name;
}

/** https://www.prisma.io/docs/orm/prisma-schema/overview/location: the schema is a file or a folder, the migrations are beside it. */
function placesOf(connection: ReadonlyMap<string, string>, folder: string): string[] {
  const at = (path: string): string => (path.startsWith('/') ? path : join(folder, path));
  const schema = connection.get('--schema');
  if (schema !== undefined) return [join(dirname(at(schema)), 'migrations'), join(at(schema), 'migrations')];
  const config = connection.get('--config');
  const base = config === undefined ? folder : dirname(at(config));
  return [join(base, 'prisma', 'migrations'), join(base, 'migrations')];
}

/** The text of the very file that ran: Prisma stores the SHA-256 of its bytes. undefined: it is not here. */
function readMigration(path: string, checksum: string | null | undefined): string | undefined {
  let bytes: Buffer;
  try {
    const { size } = statSync(path);
    if (size > MOST_BYTES) return undefined;
    bytes = readFileSync(path);
  } catch {
    return undefined;
  }
  return createHash('sha256').update(bytes).digest('hex') === checksum ? bytes.toString('utf8') : undefined;
}
