import { startSharedServer } from './shared-server.mjs';
import { makeTestedBinary } from './tested-binary.mjs';

export const startedAtMs = Date.now();

export default async function setUp() {
  makeTestedBinary();
  await startSharedServer();
}
