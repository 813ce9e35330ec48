import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { endsTransaction } from '../../../src/recover/migration-script.js';

const OF_PRISMA = `-- CreateEnum
CREATE TYPE "Role" AS ENUM ('USER', 'ADMIN');

/*
  Warnings:
  - You are about to drop the column \`commit\` on the \`User\` table. /* BEGIN */ All the data will be lost.
*/
-- AlterTable: BEGIN, COMMIT
ALTER TABLE "User" DROP COLUMN "commit", ADD COLUMN "name" TEXT NOT NULL DEFAULT 'it''s; END';
-- CreateIndex
CREATE UNIQUE INDEX "User_email_key" ON "User"("email");
UPDATE "User" SET "name" = CASE WHEN "name" = '' THEN 'x' ELSE "name" END;
`;

describe('one transaction', () => {
  test.each([
    OF_PRISMA,
    '',
    'SELECT 1',
    `CREATE FUNCTION f() RETURNS trigger AS $$ BEGIN NEW.at := now(); RETURN NEW; END; $$ LANGUAGE plpgsql;`,
    `DO $do$ BEGIN CREATE TYPE a AS ENUM ('x'); EXCEPTION WHEN duplicate_object THEN null; END $do$;`,
    `SELECT E'a\\'b', $1, a$b$c FROM t`,
    `ALTER TABLE "beginning" ADD COLUMN beginning_of integer; SELECT committed, starting, calls FROM ends`,
    `SELECT 'a\\b'`,
  ])('%s', (script) => {
    expect(endsTransaction(script)).toBeUndefined();
  });
});

describe('not one transaction, or in doubt', () => {
  test.each([
    ['CREATE INDEX CONCURRENTLY i ON t (a);', 'CONCURRENTLY'],
    ['create index\nconcurrently i ON t (a)', 'CONCURRENTLY'],
    ['SELECT 1; COMMIT; SELECT 2', 'COMMIT'],
    ['SELECT 1;commit', 'COMMIT'],
    ['BEGIN; SELECT 1; END;', 'BEGIN'],
    ['SELECT 1; END', 'END'],
    ['START TRANSACTION', 'START'],
    ['ABORT', 'ABORT'],
    ['ROLLBACK', 'ROLLBACK'],
    ["PREPARE TRANSACTION 'x'", 'PREPARE TRANSACTION'],
    ['SAVEPOINT a', 'SAVEPOINT'],
    ['VACUUM t', 'VACUUM'],
    ['ALTER SYSTEM SET a = 1', 'ALTER SYSTEM'],
    ['ALTER/**/SYSTEM SET a = 1', 'ALTER SYSTEM'],
    ['CREATE DATABASE x', 'CREATE DATABASE'],
    ['REINDEX TABLE t', 'REINDEX'],
    ['CALL p()', 'CALL'],
    ['DO $$ BEGIN PERFORM 1; COMMIT; END $$', 'COMMIT'],
    ["DO 'BEGIN COMMIT; END'", 'COMMIT'],
    ["SELECT dblink_exec('x', 'INSERT INTO t VALUES (1)')", 'DBLINK_EXEC'],
    ["COPY t TO PROGRAM 'x'", 'PROGRAM'],
    ['/* a */ COMMIT', 'COMMIT'],
    ['-- a\nCOMMIT', 'COMMIT'],
    ["SELECT '--'; COMMIT", 'COMMIT'],
    ['SELECT "/*"; COMMIT; SELECT "*/"', 'COMMIT'],
    ["SELECT E'\\''; COMMIT; --'", 'COMMIT'],
    ['SELECT $a$ $$ $a$; COMMIT', 'COMMIT'],
    ['CREATE FUNCTION f() RETURNS integer BEGIN ATOMIC SELECT 1; END', 'BEGIN'],
    ['\\c other', '\\'],
  ])('%s', (script, reason) => {
    expect(endsTransaction(script)).toBe(reason);
  });

  test.each(["SELECT 'a", 'SELECT "a', '/* a', '/* /* */', '$$ a', "SELECT 'a\\'; COMMIT; --'"])(
    'what cannot be read with certainty: %s',
    (script) => {
      expect(endsTransaction(script)).toMatch(/^a quote or a comment/);
    },
  );

  test('a COMMIT of its own is found in any surroundings', () => {
    const PIECES = ["'", '"', '--', '\n', '/*', '*/', '$$', '$a$', '\\', "E'", ';', ' ', 'x', 'SELECT 1'];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...PIECES), { maxLength: 8 }), (pieces) => {
        // What is before it is whole, so that COMMIT is code: then it is refused.
        const before = pieces.join('');
        if (endsTransaction(before) !== undefined) return;
        expect(endsTransaction(`${before}\n; COMMIT`)).toBeDefined();
      }),
      { numRuns: 5_000 },
    );
  });
});
