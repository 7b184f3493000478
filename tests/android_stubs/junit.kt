package org.junit

@Target(AnnotationTarget.FUNCTION)
annotation class Test

object Assert {
    fun assertEquals(expected: Any?, actual: Any?) {}

    fun assertEquals(message: String, expected: Any?, actual: Any?) {}

    fun assertArrayEquals(message: String, expected: ByteArray, actual: ByteArray) {}
}
