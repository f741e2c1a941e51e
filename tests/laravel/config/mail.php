<?php

return [
    'default' => 'array',
    'mailers' => ['array' => ['transport' => 'array']],
    'from' => ['address' => 'worker@example.com', 'name' => 'Worker'],
];
