<?php

$redis = static function (string $number): array {
    return [
        'url' => env('REDIS_URL'),
        'host' => env('REDIS_HOST', '127.0.0.1'),
        'username' => env('REDIS_USERNAME'),
        'password' => env('REDIS_PASSWORD'),
        'port' => env('REDIS_PORT', '6379'),
        'database' => $number,
    ];
};

return [
    'default' => env('DB_CONNECTION', 'sqlite'),
    'connections' => [
        'sqlite' => [
            'driver' => 'sqlite',
            'database' => env('DB_DATABASE', ':memory:'),
            'prefix' => '',
            'foreign_key_constraints' => false,
        ],
    ],
    'migrations' => 'migrations',
    'redis' => [
        'client' => env('REDIS_CLIENT', 'phpredis'),
        'options' => ['cluster' => 'redis', 'prefix' => env('REDIS_PREFIX', 'facturino_database_')],
        'default' => $redis(env('REDIS_DB', '0')),
        'cache' => $redis(env('REDIS_CACHE_DB', '1')),
        'session' => $redis(env('REDIS_SESSION_DB', '2')),
        'queue' => $redis(env('REDIS_QUEUE_DB', '3')),
    ],
];
