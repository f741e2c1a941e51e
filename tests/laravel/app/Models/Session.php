<?php

namespace App\Models;

use Illuminate\Database\Eloquent\Model;

/**
 * A row of `sessions`.
 */
class Session extends Model
{
    public $incrementing = false;

    public $timestamps = false;

    protected $guarded = [];

    protected $keyType = 'string';
}
