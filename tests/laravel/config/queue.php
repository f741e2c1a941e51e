<?php

$redis = static function (string $queue, int $retryAfter): array {
    return [
        'driver' => 'redis',
        'connection' => 'queue',
        'queue' => $queue,
        'retry_after' => (int) env('REDIS_QUEUE_RETRY_AFTER', $retryAfter),
        'block_for' => env('REDIS_QUEUE_BLOCK_FOR'),
        'after_commit' => false,
    ];
};

return [
    'default' => env('QUEUE_CONNECTION', 'redis'),
    'connections' => [
        'sync' => ['driver' => 'sync'],
        'database' => [
            'driver' => 'database',
            'table' => env('DB_QUEUE_TABLE', 'jobs'),
            'queue' => env('DB_QUEUE', 'default'),
            'retry_after' => (int) env('DB_QUEUE_RETRY_AFTER', 90),
            'after_commit' => false,
        ],
        'redis' => $redis(env('REDIS_QUEUE', 'default'), 90),
        'high' => $redis('high', 90),
        'migration' => $redis('migration', 600),
        'background' => $redis('background', 90),
        'banking' => $redis('banking', 150),
        'einvoice' => $redis('einvoice', 150),
    ],
    'batching' => ['database' => env('DB_CONNECTION', 'sqlite'), 'table' => 'job_batches'],
    'failed' => [
        'driver' => env('QUEUE_FAILED_DRIVER', 'database-uuids'),
        'database' => env('DB_CONNECTION', 'sqlite'),
        'table' => 'failed_jobs',
    ],
];
