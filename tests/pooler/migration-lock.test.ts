import { throughPooler } from '../harness/through-pooler.js';

await throughPooler(() => import('../lock/migration-lock.test.js'));
